"""`recgen chat`."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rec_gen.cli.common import item_ids
from rec_gen.notices import quiet
from rec_gen.tasks import REPLY
from rec_gen.text import clean_text

if TYPE_CHECKING:
    from rec_gen.conversation import Conversation
    from rec_gen.replying import Reply


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--history", "histories", multiple=True, help="Item ids, oldest first; repeatable.")
@click.option("--items", default=3, show_default=True, help="Most items of a reply.")
@click.option("--max-tokens", default=64, show_default=True, help="Tokens of a reply.")
@click.option("--temperature", default=0.0, show_default=True, help="0 writes what is likeliest.")
@click.option("--seed", default=0, show_default=True, help="Another seed draws anew.")
@click.option("--device", help="Where the model runs, such as cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a reply.")
def chat(
    bundle: Path,
    histories: Sequence[str],
    items: int,
    max_tokens: int,
    temperature: float,
    seed: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Talk about what to recommend, one message a line.

    Each reply comes with the items that it names and with what was understood so far.

    \b
    /forget WORDS   drop the wishes that hold these words
    /reset          begin again
    /quit           leave; so does the end of the input

    \b
    recgen chat runs/opendialkg/bundle
    recgen chat runs/opendialkg/bundle --history 50,172 --items 2
    echo 'a comedy, but not horror' | recgen chat runs/opendialkg/bundle --json
    """
    quiet()
    from rec_gen.conversation import Conversation
    from rec_gen.recommender import Recommender

    recommender = Recommender.load(bundle, device=device)
    recommender.bundle.task_template(REPLY)
    history = [item for each in histories for item in item_ids(each)]
    for item in history:
        recommender.catalog.position(item)
    talk = Conversation(
        recommender,
        history,
        items=items,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
    )
    for line in _lines():
        command, _, words = line.partition(" ")
        if command == "/quit":
            return
        if command == "/reset":
            talk.reset()
        elif command == "/forget":
            _forget(talk, words.strip())
        elif command.startswith("/"):
            click.echo(f"no command {command}: there are /forget WORDS, /reset and /quit", err=True)
        elif line:
            _print(talk.say(line), as_json)


def _lines() -> Iterator[str]:
    """The lines of the input, asked for where a person types them."""
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a byte that is no text ends no conversation
    if not sys.stdin.isatty():
        yield from map(str.strip, sys.stdin)
        return
    while True:
        try:
            yield input("> ").strip()
        except EOFError:
            return


def _forget(talk: "Conversation", words: str) -> None:
    dropped = talk.forget(words) if words else ()
    for said in dict.fromkeys(wish.said for wish in dropped):
        click.echo(f"forgotten: {clean_text(said)}", err=True)
    if not dropped:
        click.echo(f"nothing that was understood holds '{words}'", err=True)


def _print(reply: "Reply", as_json: bool) -> None:
    if as_json:
        items = [
            {
                "id": one.item.id,
                "title": clean_text(one.item.title),
                "score": one.score,
                "start": one.start,
                "stop": one.stop,
            }
            for one in reply.items
        ]
        told = {
            "text": reply.text,
            "items": items,
            "understood": list(map(asdict, reply.understood)),
        }
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    click.echo(reply.text)
    for place, one in enumerate(reply.items, start=1):
        click.echo(f"  {place}. {clean_text(one.item.title)}  (item {clean_text(one.item.id)})")
    for wish in reply.understood:
        kept = [
            *([wish.rule] if wish.rule else []),
            *([f"without {', '.join(wish.block)}"] if wish.block else []),
            *([f"no longer {wish.lifts}"] if wish.lifts else []),
            *([f"not kept: {wish.problem}"] if wish.problem else []),
        ]
        click.echo(clean_text(f"understood: {wish.said}: {'; '.join(kept)}"))
