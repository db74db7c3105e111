"""`recgen forget`."""

import asyncio
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rec_gen.cli.common import data_config
from rec_gen.errors import ConfigError, MissingPackageError

if TYPE_CHECKING:
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
    from rec_gen.masking import pseudonym, read_user_key

    told, ids = _Told(user, dry_run=dry_run), {user}
    if user_key is not None:
        ids.add(pseudonym(user, read_user_key(user_key)))
    states = [each for place in data for each in _from_data(place, user, ids, told, dry_run)]
    if store is not None:
        told.removed(store, _from_store(store, tenant, user, dry_run), "events")
    if keys is not None:
        told.removed(keys, _from_keys(keys, tenant, user, dry_run), "API keys")
    for folder in batch:
        _from_batch(folder, ids, told, dry_run)
    if bundles:
        _look_at_bundles(bundles, states, told)
    told.end()


def _from_data(
    place: str, user: str, ids: Collection[str], told: _Told, dry_run: bool
) -> Iterator["Forgotten"]:
    from rec_gen.data.forgetting import cached_copies, forget_user, leftovers, own_rows
    from rec_gen.data.prepare import cached_folder
    from rec_gen.masking import pseudonym, read_user_key

    config = data_config(place, ())
    if config.source:
        raise ConfigError(
            f"{place}: is a named data set, whose files stay as they were published: prepare it "
            "with --out, and name that folder"
        )
    if config.mask and config.mask.user_key:
        ids = {*ids, pseudonym(user, read_user_key(config.mask.user_key))}
    for path, rows in own_rows(config, user):
        mend = "remove them there, and prepare it again"
        told.remains(path, f"{rows:,} rows of your own table", mend)
    folder = config.prepared or cached_folder(config)
    copies, name = list(cached_copies(config.name)), config.name
    states = []
    if config.prepared or folder.is_dir():
        states = [forget_user(folder, ids, dry_run=dry_run)]
        name = states[0].name
        copies = [each for each in cached_copies(name) if each.resolve() != folder.resolve()]
    for copy in copies:
        state = forget_user(copy, ids, dry_run=True)
        if states and state.before == states[0].before:
            state = forget_user(copy, ids, dry_run=dry_run)
        elif state.interactions:
            what = f"another state of '{name}' in the cache with the user"
            told.remains(copy, what, "delete the folder, or name it with --data")
        states.append(state)
    for state in states:
        if not state.interactions or state.before == states[0].before:
            told.removed(state.folder, state.interactions, "interactions")
    for file in leftovers(folder):
        told.remains(file, "what a killed process left", "delete it")
    yield from states


def _from_store(url: str, tenant: str, user: str, dry_run: bool) -> int:
    try:
        from serving.forgetting import forget_user
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "sqlalchemy", "serve") from error
    return asyncio.run(forget_user(url, tenant, user, dry_run=dry_run))


def _from_keys(path: Path, tenant: str, user: str, dry_run: bool) -> int:
    from serving.keys import KeyFile, revoke_key

    every = KeyFile(path).keys().values()
    theirs = [key.id for key in every if (key.tenant, key.user) == (tenant, user)]
    for key in () if dry_run else theirs:
        revoke_key(path, key)
    return len(theirs)


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
    now = {state.name: state.fingerprint for state in reversed(states)}
    for trace in find_traces(bundles, held, now):
        told.remains(trace.folder, trace.reason, trace.mend)
