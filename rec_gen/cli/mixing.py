"""`recgen mix`."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from rec_gen.cli.common import item_ids
from rec_gen.errors import ConfigError
from rec_gen.notices import quiet
from rec_gen.text import clean_text


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--quota", "quotas", multiple=True, required=True, metavar="DOMAIN=N", help="Items of a domain."
)
@click.option(
    "--history", "histories", multiple=True, metavar="DOMAIN=ITEMS", help="Ids, oldest first."
)
@click.option("--include-seen", is_flag=True, help="Items of the histories may be returned.")
@click.option("--beam-width", default=20, show_default=True, help="Prefixes that go on at once.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def mix(
    bundle: Path,
    quotas: Sequence[str],
    histories: Sequence[str],
    include_seen: bool,
    beam_width: int,
    as_json: bool,
) -> None:
    """Recommend one list of several catalogs of a BUNDLE, with so many items of each.

    \b
    recgen mix runs/domains/bundle --quota movielens-1m=6 --quota minionerec-industrial=4 \\
        --history movielens-1m=1,260
    """
    from rec_gen.mixed import MixedRecommender

    quota = {name: _count(name, text) for name, text in _named("--quota", quotas).items()}
    history = {name: item_ids(text) for name, text in _named("--history", histories).items()}
    quiet()
    mixed = MixedRecommender.load(bundle)
    (answer,) = mixed.recommend(
        [history], quota, exclude_seen=not include_seen, beam_width=beam_width
    )
    if as_json:
        rows = [
            {"domain": placed.domain, "id": found.item.id, "title": found.item.title}
            | {"score": found.score}
            for placed in answer
            for found in [placed.recommendation]
        ]
        click.echo(json.dumps({"items": rows}, ensure_ascii=False))
        return
    for rank, placed in enumerate(answer, start=1):
        item = placed.recommendation.item
        title, identifier = clean_text(item.title), clean_text(item.id)
        click.echo(f"  {rank:2}. {title}  ({placed.domain}, item {identifier})")


def _named(option: str, texts: Sequence[str]) -> dict[str, str]:
    """What stands behind each domain's name.

    Raises:
        ConfigError: A text has no name, or a name stands twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or name in found:
            raise ConfigError(f"{option} {text}: write DOMAIN=VALUE, and each domain once")
        found[name] = value
    return found


def _count(name: str, text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"--quota {name}={text}: give a whole number, for example {name}=4")
    return int(text)
