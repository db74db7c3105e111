"""The promise of replies on random weights: `python -m eval.benchmarks.replies --json FILE`.

Untrained models of several seeds reply in all three spellings, to plain messages and to dialogues
that try to break them. Half of the models know the words of all titles and write in lower case, so
that refused titles come up. Every marked item must be in the catalog and pass all that the dialogue
stated, by the tests of `replies_cases`; no refused title may stand in the free text,
whatever its case.
"""

import json
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tokenizers import normalizers
from transformers import PreTrainedTokenizerBase

from eval.benchmarks.replies_cases import (
    Case,
    Row,
    Said,
    hostile_cases,
    market,
    name,
    plain_cases,
    rows_of,
)
from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.errors import RecGenError
from rec_gen.files import write_text
from rec_gen.markers import CLOSE, OPEN, marker_ids
from rec_gen.recommender import Recommender
from rec_gen.replying import Reply, Turn
from rec_gen.spelling import Scheme
from rec_gen.tasks import REPLY
from rec_gen.testing import random_bundle, tiny_tokenizer
from rec_gen.text import clean_words
from rec_gen.versions import machine

FIGURES = (
    "dialogues", "replies", "marked_items", "without_items", "invalid_items", "broken_filters",
    "refused_named", "forged_markers", "errors",
)  # fmt: skip
BATCH, TOKENS, SEEDS = 32, 16, 8
EAGERNESS, WORDS = 4.0, 600


@dataclass
class _Talk:
    """A dialogue as it goes on, and what was stated in it."""

    case: Case
    turns: list[Turn] = field(default_factory=list)
    shown: list[Row] = field(default_factory=list)
    stated: list[Said] = field(default_factory=list)

    @property
    def held(self) -> list[Said]:
        """What holds of it, since nothing that was said later lifts it."""
        lifted = [id(said.lifts) for said in self.stated if said.lifts is not None]
        return [said for said in self.stated if id(said) not in lifted]

    def ask(self) -> None:
        said = self.case.messages[len(self.stated)](self.shown)
        self.stated.append(said)
        self.turns.append(Turn("user", said.text))

    def take(self, reply: Reply, rows: dict[str, Row]) -> None:
        items = tuple(dict.fromkeys(one.item.id for one in reply.items))
        self.turns.append(Turn("assistant", reply.text, items))
        if items:
            self.shown = [rows[item] for item in items if item in rows]


def judge(talk: _Talk, reply: Reply, rows: dict[str, Row]) -> Counter[str]:
    """Count what is in a reply, and what should not be, before the talk takes it."""
    counts = Counter(replies=1, marked_items=len(reply.items), without_items=not reply.items)
    free, last = [], 0
    for one in reply.items:
        row = rows.get(one.item.id)
        counts["invalid_items"] += row is None or reply.text[one.start : one.stop] != row["title"]
        if row is not None and not talk.stated[-1].question:
            tests = [test for said in talk.held for test in said.tests]
            counts["broken_filters"] += one.item.id in talk.case.history
            counts["broken_filters"] += not all(test(row) for test in tests)
        if talk.stated[-1].question and row is not None:
            counts["invalid_items"] += row not in talk.shown
        free.append(reply.text[last : one.start])
        last = one.stop
    counts["forged_markers"] += any(mark in part for part in free for mark in (OPEN, CLOSE))
    if reply.prompt_tokens:  # the model's own words, without what a fixed sentence quotes
        words = "|".join([*free, reply.text[last:]])
        for wish in reply.understood:
            words = words.replace(clean_words(wish.said).strip(), "")
        refused = {title for said in talk.held for title in said.refused}
        counts["refused_named"] += sum(_names(words, title) for title in refused)
    return counts


def _names(words: str, title: str) -> bool:
    """Whether words hold a title, in any case, that is no part of a longer word."""
    alone = rf"(?<!\w)(?<!\w['-]){re.escape(title)}(?!\w|-\w|'(?!s\b)\w)"
    return re.search(alone, words, re.IGNORECASE) is not None


def run(
    recommender: Recommender, cases: Sequence[Case], rows: dict[str, Row], temperature: float
) -> Counter[str]:
    """Have dialogues to their ends, round by round, and judge each reply."""
    counts: Counter[str] = Counter(dialogues=len(cases))
    talks = [_Talk(case) for case in cases]
    while talks := [talk for talk in talks if len(talk.stated) < len(talk.case.messages)]:
        for start in range(0, len(talks), BATCH):
            batch = talks[start : start + BATCH]
            for talk in batch:
                talk.ask()
            try:
                replies = recommender.reply(
                    [talk.turns for talk in batch],
                    [talk.case.history for talk in batch],
                    max_tokens=TOKENS,
                    temperature=temperature,
                    batch_size=BATCH,
                )
            except RecGenError as error:
                Console(stderr=True).print(f"{batch[0].case.kind}: {error}")
                counts["errors"] += len(batch)
                talks = [talk for talk in talks if talk not in batch]
                continue
            for talk, reply in zip(batch, replies, strict=True):
                counts += judge(talk, reply, rows)
                talk.take(reply, rows)
    return counts


def _wordy_tokenizer(catalog: Catalog) -> PreTrainedTokenizerBase:
    """One that reads in lower case and has tokens for words of titles."""
    bytewise = tiny_tokenizer()
    bytewise.backend_tokenizer.normalizer = normalizers.Lowercase()
    names = list(map(name, rows_of(catalog)))
    said = [*names, *(f"see {title}" for title in names)]
    wordy: PreTrainedTokenizerBase = bytewise.train_new_from_iterator(said, WORDS)
    return wordy


def _model(catalog: Catalog, scheme: Scheme, seed: int, *, eager: bool, wordy: bool) -> Bundle:
    """Random weights; eager ones open items more often, since a token is rarely likeliest."""
    tokenizer = _wordy_tokenizer(catalog) if wordy else tiny_tokenizer()
    bundle = random_bundle(catalog, scheme, seed, tasks=[REPLY], tokenizer=tokenizer)
    if eager:
        opens, _ = marker_ids(bundle.tokenizer)
        bundle.model.get_output_embeddings().weight.data[opens] *= EAGERNESS
    return bundle


def count(dialogues: int, seed: int) -> dict[str, Counter[str]]:
    """Figures by kind of dialogue: so many plain ones, and as many hostile ones."""
    totals: dict[str, Counter[str]] = {"plain": Counter(), "hostile": Counter()}
    schemes: tuple[Scheme, ...] = get_args(Scheme)
    models = [(scheme, seed + n) for scheme in schemes for n in range(SEEDS)]
    for place, (scheme, own) in enumerate(track(models, console=Console(stderr=True))):
        rng = random.Random(own)  # noqa: S311
        catalog = market(own)
        rows = {str(row["item"]): row for row in rows_of(catalog)}
        eager, wordy = (own - seed) % 4 >= 2, own - seed >= SEEDS // 2
        recommender = Recommender(_model(catalog, scheme, own, eager=eager, wordy=wordy))
        share = dialogues * (place + 1) // len(models) - dialogues * place // len(models)
        for kind, make in (("plain", plain_cases), ("hostile", hostile_cases)):
            cases = list(make(rng, list(rows.values()), share))
            totals[kind] += run(recommender, cases, rows, temperature=float(place % 2))
    return totals


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--dialogues", default=1000, show_default=True, help="Of each kind.")
@click.option("--seed", default=0, show_default=True)
def main(json_path: Path | None, dialogues: int, seed: int) -> None:
    """Count invalid items, broken filters and refused titles in replies of random weights."""
    before = time.perf_counter()
    totals = count(dialogues, seed)
    seconds = time.perf_counter() - before
    table = Table("dialogues", *FIGURES[1:])
    for kind, counts in totals.items():
        table.add_row(
            f"{counts['dialogues']:,} {kind}", *(f"{counts[key]:,}" for key in FIGURES[1:])
        )
    Console(width=160).print(table)
    by_kind = {kind: {key: counts[key] for key in FIGURES} for kind, counts in totals.items()}
    figures = {key: sum(counts[key] for counts in totals.values()) for key in FIGURES}
    if json_path:
        report = {"figures": figures, "kinds": by_kind, "seed": seed, "seconds": round(seconds, 1)}
        write_text(json_path, json.dumps(report | machine(), indent=2) + "\n")


if __name__ == "__main__":
    main()
