"""How well personal data is found: `python -m eval.benchmarks.masking --json masking.json`.

Generated messages with one value each tell the recall, by kind and by how the value is written;
real titles and utterances tell the false alarms. Both count for the precision.
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from eval.benchmarks.masking_cases import Case, cases
from eval.intervals import LEVEL
from rec_gen.cli.common import Command
from rec_gen.data.config import DataConfig, SourceName
from rec_gen.data.prepare import load_dataset
from rec_gen.files import write_text
from rec_gen.masking import Masker, Masking
from rec_gen.recognizers import surest
from rec_gen.versions import machine

TITLES = ("movielens-1m", "amazon2014-beauty", "minionerec-industrial", "opendialkg")
SEED = 1
"""Seed 0 was looked at while patterns were chosen."""
LIBRARIES = ("presidio-analyzer", "presidio-anonymizer", "phonenumbers")
TIMED = 1000
"""Texts of each list whose masking is timed."""
Found = tuple[str, int, int]
"""A kind and a span in characters."""
Finder = Callable[[str], list[Found]]
Share = dict[str, float | int]
_NAIVE = {
    "EMAIL_ADDRESS": re.compile(r"\S+@\S+\.\w+"),
    "PHONE_NUMBER": re.compile(r"\+?\d(?:[ ().-]*\d){6,}"),
}


@dataclass(frozen=True)
class Texts:
    """Real texts of one kind, none of which is known to hold personal data.

    Attributes:
        name: What they are.
        texts: Without repetitions, in a drawn order.
        fingerprint: Of the data set that they are of.
    """

    name: str
    texts: list[str]
    fingerprint: str


def share(hits: int, of: int) -> Share:
    """A share with its Wilson interval (Wilson, 1927), which holds near 0 and 1 too."""
    from scipy.stats import binomtest

    if not of:
        return {"n": 0}
    low, high = binomtest(hits, of).proportion_ci(LEVEL / 100, method="wilson")
    figures = {"share": hits / of, "low": float(low), "high": float(high)}
    return {"n": of, **{name: round(value, 4) for name, value in figures.items()}}


def finders() -> dict[str, Finder]:
    """What is compared: the masker, Presidio's recognisers as they come, and two patterns."""
    os.environ.setdefault("TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS", "")  # it would fetch a list
    from presidio_analyzer import AnalyzerEngine, LocalRecognizer, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine
    from presidio_analyzer.predefined_recognizers import generic

    names = ("Email", "Url", "Phone", "CreditCard", "Iban", "Ip", "MacAddress")
    shipped: list[LocalRecognizer] = [getattr(generic, f"{name}Recognizer")() for name in names]
    engine = AnalyzerEngine(
        registry=RecognizerRegistry(shipped, supported_languages=["en"]),
        nlp_engine=NoOpNlpEngine([{"lang_code": "en", "model_name": "none"}]),
        supported_languages=["en"],
        default_score_threshold=0.4,
    )
    masker = Masker(Masking())

    def spans(results: Iterable[Any]) -> list[Found]:
        return [(one.entity_type, one.start, one.end) for one in results]

    return {
        "masker": lambda text: spans(masker.find(text)),
        "as shipped": lambda text: spans(surest(engine.analyze(text, "en"))),
        "two patterns": lambda text: [
            (kind, *match.span()) for kind, one in _NAIVE.items() for match in one.finditer(text)
        ],
    }


def is_hidden(case: Case, found: Sequence[Found]) -> bool:
    """Whether no letter and no digit of a value stays, whatever it was taken for."""
    covered = {place for _, start, stop in found for place in range(start, stop)}
    places = range(case.start, case.stop)
    return all(place in covered or not case.text[place].isalnum() for place in places)


def measure(finder: Finder, messages: Sequence[Case], real: Sequence[Texts]) -> dict[str, Any]:
    """What one finder finds."""
    hidden, right, wrong = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    sizes = Counter((case.kind, case.form) for case in messages)
    for case in messages:
        found = finder(case.text)
        hidden[case.kind, case.form] += is_hidden(case, found)
        for kind, start, stop in found:
            hit = kind == case.kind and start < case.stop and stop > case.start
            (right if hit else wrong)[kind] += 1
    alarms, titles = {}, list[bool]()
    for texts in real:
        findings = [finder(text) for text in texts.texts]
        wrong.update(kind for found in findings for kind, *_ in found)
        alarms[texts.name] = share(sum(map(bool, findings)), len(findings))
        titles += map(bool, findings) if texts.name.endswith("titles") else []
    alarms["all titles"] = share(sum(titles), len(titles))
    kinds = dict.fromkeys(kind for kind, _ in sizes)
    return {
        "recall": {
            kind: share(
                sum(n for (one, _), n in hidden.items() if one == kind),
                sum(n for (one, _), n in sizes.items() if one == kind),
            )
            for kind in kinds
        },
        "precision": {kind: share(right[kind], right[kind] + wrong[kind]) for kind in kinds},
        "forms": {", ".join(each): share(hidden[each], n) for each, n in sizes.items()},
        "false_alarms": alarms,
    }


def real_texts(names: Sequence[str], most: int, seed: int) -> list[Texts]:
    """Titles of each data set, and what was said where there are dialogues."""
    rng, drawn = np.random.default_rng(seed), []
    for name in names:
        dataset = load_dataset(DataConfig(source=cast(SourceName, name)))
        said = {} if dataset.user_frame is None else dataset.user_frame.to_dict(as_series=False)
        lists = {
            "titles": dataset.catalog.titles,
            "utterances": [text for one in said.get("utterances", ()) for text in one or ()],
        }
        for what, texts in lists.items():
            if unlike := sorted(set(texts)):
                chosen = rng.permutation(len(unlike))[:most]
                rows = [unlike[place] for place in chosen]
                drawn.append(Texts(f"{name}, {what}", rows, dataset.fingerprint))
    return drawn


def microseconds(masker: Masker, texts: Sequence[str]) -> dict[str, float]:
    """The time of one core that masking a text takes: half and 95 % take less, and the mean."""
    taken = []
    for text in texts[:TIMED]:
        began = time.thread_time_ns()
        masker.mask(text)
        taken.append((time.thread_time_ns() - began) / 1000)
    half, most = np.percentile(taken, (50, 95))
    figures = {"median": half, "p95": most, "mean": np.mean(taken)}
    return {name: round(float(figure), 1) for name, figure in figures.items()}


def cell(found: Mapping[str, float | int]) -> str:
    """A share as people read it."""
    if not found["n"]:
        return "-"
    return f"{found['share']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def tables(found: Mapping[str, Mapping[str, Mapping[str, Share]]]) -> list[Table]:
    """One table of kinds, one of forms, one of false alarms."""
    shown = []
    for part in ("recall", "precision", "forms", "false_alarms"):
        table = Table(part.replace("_", " "), "n", *found)
        for row, first in found["masker"][part].items():
            size = "" if part == "precision" else f"{first['n']:,}"
            table.add_row(row, size, *(cell(one[part][row]) for one in found.values()))
        shown.append(table)
    return shown


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--each", default=200, show_default=True, help="Messages of each form.")
@click.option("--most", default=3000, show_default=True, help="Real texts of each list, at most.")
@click.option("--data", "names", multiple=True, default=TITLES, help="Data sets with real texts.")
@click.option("--seed", default=SEED, show_default=True, help="Of messages and draws.")
def main(json_path: Path | None, each: int, most: int, names: Sequence[str], seed: int) -> None:
    """Measure recall, precision, false alarms and time of masking."""
    messages, real = list(cases(each, seed)), real_texts(names, most, seed)
    found = {}
    for name, finder in finders().items():
        click.echo(f"{name}: {len(messages):,} messages, {sum(len(x.texts) for x in real):,} texts")
        found[name] = measure(finder, messages, real)
    masker = Masker(Masking())
    drawn = np.random.default_rng(seed).permutation(len(messages))
    times = {"messages": microseconds(masker, [messages[place].text for place in drawn])}
    times |= {texts.name: microseconds(masker, texts.texts) for texts in real}
    console = Console(width=140)
    for table in tables(found):
        console.print(table)
    click.echo(
        "microseconds of one core a text:\n" + "\n".join(f"  {k}: {v}" for k, v in times.items())
    )
    if json_path:
        figures = {"seed": seed, "found": found, "microseconds": times}
        data = {texts.name: texts.fingerprint for texts in real}
        libraries = {name: version(name) for name in LIBRARIES}
        record = {"figures": figures, "data": data, "libraries": libraries} | machine()
        write_text(json_path, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
