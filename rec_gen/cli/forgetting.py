"""`recgen forget`."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rec_gen.cli.common import data_config
from rec_gen.errors import ConfigError, MissingPackageError

if TYPE_CHECKING:
    from rec_gen.data.config import DataConfig
    from rec_gen.data.forgetting import Forgotten

LEFT = 3
"""The exit code where something of the user is left."""


class _Told:
    """What is said of each place."""

    def __init__(self, user: str, *, dry_run: bool) -> None:
        self.anywhere, self.left = False, False
        self._user, self._done = user, "would remove" if dry_run else "removed"

    def removed(self, place: object, count: int, what: str) -> None:
        if count:
            self.anywhere = True
            click.echo(f"{self._done}: {place}: {count:,} {what if count > 1 else what[:-1]}")

    def remains(self, place: object, what: str, mend: str) -> None:
        self.anywhere = self.left = True
        click.echo(f"left: {place}: {what}: {mend}")

    def end(self) -> None:
        if not self.anywhere:
            click.echo(f"user '{self._user}' is nowhere in what was named")
        sys.exit(LEFT if self.left else 0)


@click.command()
@click.argument("user")
@click.option("--data", multiple=True, help="A prepared folder, or a TOML file of own tables.")
@click.option("--store", help="The server's: sqlite:///FILE, postgresql://… or redis://…")
@click.option("--tenant", default="default", show_default=True, help="Whose user it is there.")
@click.option("--keys", type=click.Path(path_type=Path), help="The file of API keys.")
@click.option(
    "--batch", multiple=True, type=click.Path(path_type=Path), help="An output of recgen batch."
)
@click.option(
    "--bundles", multiple=True, type=click.Path(path_type=Path), help="Look here for bundles."
)
@click.option(
    "--user-key", type=click.Path(path_type=Path), help="The key of the data's pseudonyms."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def forget(
    user: str,
    data: Sequence[str],
    store: str | None,
    tenant: str,
    keys: Path | None,
    batch: Sequence[Path],
    bundles: Sequence[Path],
    user_key: Path | None,
    dry_run: bool,
) -> None:
    """Remove a USER from what is named, and say which bundles still carry a trace.

    Prepared data is written anew and gets another fingerprint; copies of it in the cache go along.
    Own tables and bundles are never touched: what is left there is told with its mend, and the exit
    code is 3. --data, --batch and --bundles may be repeated.

    \b
    recgen forget ann --data data/shop --bundles runs --dry-run
    recgen forget ann --data shop.toml --store sqlite:///runs/serve/store.db --bundles runs
    recgen forget ann --batch out --keys keys.json --tenant shop
    """
    if not (data or store or keys or batch):
        raise ConfigError("forget: say where: --data, --store, --keys or --batch")
    if bundles and not data:
        raise ConfigError("forget: --bundles are judged by their data: name it with --data")
    from rec_gen.traces import refuse_absent
    from serving.store import refuse_other_url, without_password

    refuse_absent(bundles)
    if store is not None:
        refuse_other_url(store)
    told, configs = _Told(user, dry_run=dry_run), {place: _own_data(place) for place in data}
    ids = _names_of(user, configs.values(), user_key)
    states = [_from_data(config, user, ids, told, dry_run) for config in configs.values()]
    states += _from_copies(states, ids, told, dry_run)
    if store is not None:
        events = sum(_from_store(store, tenant, each, dry_run) for each in sorted(ids))
        told.removed(without_password(store), events, "events")
    if keys is not None:
        told.removed(keys, _from_keys(keys, tenant, ids, dry_run), "API keys")
    for folder in batch:
        _from_batch(folder, ids, told, dry_run)
    if bundles:
        _look_at_bundles(bundles, states, told)
    told.end()


def _own_data(place: str) -> "DataConfig":
    config = data_config(place, ())
    if config.source:
        raise ConfigError(
            f"{place}: is a named data set, whose files stay as they were published: prepare it "
            "with --out, and name that folder"
        )
    return config


def _names_of(user: str, configs: Iterable["DataConfig"], user_key: Path | None) -> set[str]:
    """All that the user is called: the id, and its pseudonym under each key that is known."""
    from rec_gen.pseudonyms import pseudonym, read_user_key

    keys = {user_key, *(config.mask.user_key for config in configs if config.mask)}
    return {user, *(pseudonym(user, read_user_key(key)) for key in keys if key)}


def _from_data(
    config: "DataConfig", user: str, ids: Collection[str], told: _Told, dry_run: bool
) -> "Forgotten":
    """What was done to a prepared folder, or to what is prepared of own tables."""
    from rec_gen.data.forgetting import Forgotten, forget_user, leftovers, own_rows
    from rec_gen.data.prepare import cached_folder

    for path, rows in own_rows(config, user):
        mend = "take them out there, and prepare it again"
        told.remains(path, f"{rows:,} of your own table's rows", mend)
    folder = config.prepared or cached_folder(config)
    for file in leftovers(folder):
        told.remains(file, "what a killed process left", "delete it")
    if not config.prepared and not folder.is_dir():
        return Forgotten(folder, config.name, 0, "", "", ())
    state = forget_user(folder, ids, dry_run=dry_run)
    told.removed(folder, state.interactions, "interactions")
    return state


def _from_copies(
    states: Sequence["Forgotten"], ids: Collection[str], told: _Told, dry_run: bool
) -> list["Forgotten"]:
    """Take the user out of copies in the cache; what was prepared otherwise is only told."""
    from rec_gen.data.forgetting import cached_copies, forget_user

    named, same = {state.folder.resolve() for state in states}, {state.before for state in states}
    copies = []
    for name in dict.fromkeys(state.name for state in states):
        for copy in cached_copies(name):
            if copy.resolve() in named:
                continue
            found = forget_user(copy, ids, dry_run=True)
            if found.before in same:
                found = forget_user(copy, ids, dry_run=dry_run)
                told.removed(copy, found.interactions, "interactions")
            elif found.interactions:
                what = f"another state of '{name}' in the cache, with the user"
                told.remains(copy, what, "delete the folder, or name it with --data")
            copies.append(found)
    return copies


def _from_store(url: str, tenant: str, user: str, dry_run: bool) -> int:
    try:
        from serving.forgetting import forget_user
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "sqlalchemy", "serve") from error
    return asyncio.run(forget_user(url, tenant, user, dry_run=dry_run))


def _from_keys(path: Path, tenant: str, ids: Collection[str], dry_run: bool) -> int:
    from serving.keys import revoke_keys_of

    return revoke_keys_of(path, tenant, ids, dry_run=dry_run)


def _from_batch(folder: Path, ids: Collection[str], told: _Told, dry_run: bool) -> None:
    from serving.batch.forgetting import forget_user

    found = forget_user(folder, ids, dry_run=dry_run)
    told.removed(folder, found.rows, "rows")
    if found.unfinished:
        told.remains(
            folder,
            f"{found.unfinished:,} parts are not done and may answer the user",
            "take the user out of the table of users, and begin in another folder",
        )


def _look_at_bundles(bundles: Sequence[Path], states: Sequence["Forgotten"], told: _Told) -> None:
    from rec_gen.traces import find_traces

    held = {fingerprint for state in states for fingerprint in state.former}
    without = defaultdict[str, set[str]](set)
    for state in states:
        without[state.name].add(state.fingerprint)
    for trace in find_traces(bundles, held, without):
        told.remains(trace.folder, trace.reason, trace.mend)
