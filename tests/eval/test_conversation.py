import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from eval.conversation import benchmark_conversations
from eval.conversation_measures import groups
from eval.conversation_report import ConversationBenchmark
from eval.linked import LastMentioned, LinkedCounts
from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset, Dialogue, Split
from rec_gen.errors import DataError
from rec_gen.recommender import Recommender
from rec_gen.templates import Template
from rec_gen.testing import random_bundle
from tests.talk import ACTORS, FILMS, talk_dataset
from tests.toy import toy_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return talk_dataset(tmp_path_factory.mktemp("talk"))


def untrained(dataset: Dataset, seed: int) -> Recommender:
    bundle = random_bundle(dataset.catalog, "item", seed)
    manifest = bundle.manifest.model_copy(update={"minutes": 1.0 + seed})
    template = Template.load("conversation")
    told: Bundle = replace(bundle, manifest=manifest, template=template)
    return Recommender(told)


@pytest.fixture(scope="module")
def found(dataset: Dataset) -> ConversationBenchmark:
    return benchmark_conversations([untrained(dataset, seed) for seed in range(2)], dataset)


def test_groups_of_examples(dataset: Dataset) -> None:
    examples = list(dataset.examples(Split.TEST))
    masks = groups(dataset, examples)
    assert (masks["named"] != masks["unnamed"]).all()
    for example, named, apart in zip(examples, masks["named"], masks["apart"], strict=True):
        assert named == (example.target in example.history)
        assert apart == (example.user != "0-1")


def test_last_mentioned_then_popularity(dataset: Dataset) -> None:
    counting = LastMentioned().fit(dataset)
    (scores,) = counting.score([[5, 3]], [Dialogue(())])
    assert scores.argmax() == 3
    counts = np.zeros(len(dataset.catalog))
    for sequence in dataset.sequences():
        np.add.at(counts, sequence.items[sequence.targets], 1)
    others = np.delete(np.arange(len(counts)), 3)
    assert (np.diff(counts[others][np.argsort(scores[others], kind="stable")]) >= 0).all()


def test_linked_counts_know_who_plays_in_what(dataset: Dataset) -> None:
    links = LinkedCounts().fit(dataset)
    (scores,) = links.score([[]], [Dialogue(("Something with her?",), (ACTORS[1],))])
    best = {dataset.catalog.titles[place] for place in np.argsort(scores)[-3:]}
    assert best == {f"{film} (1999)" for film in FILMS[ACTORS[1]]}
    assert np.exp(scores.astype(np.float64)).sum() == pytest.approx(1, abs=1e-4)


def test_what_is_found(found: ConversationBenchmark, dataset: Dataset) -> None:
    examples = list(dataset.examples(Split.TEST))
    assert found.examples == len(examples) == found.sizes["named"] + found.sizes["unnamed"]
    assert found.turns == len({example.user for example in examples}) < found.examples
    figures = found.figures
    assert figures["recall50"] == 1  # of twelve items
    shares = [found.sizes[name] / found.examples for name in ("named", "unnamed")]
    parts = [found.recalls["model"][f"recall1_{name}"].mean for name in ("named", "unnamed")]
    assert figures["recall1"] == pytest.approx(np.dot(shares, parts))
    assert figures["counted_links_recall1"] > figures["last_mentioned_recall1_unnamed"]  # type: ignore[operator]
    assert figures["train_minutes"] == 2
    assert figures["named_share"] == shares[0]
    for name in ("recall1", "recall10"):
        turns: dict[str, list[float]] = {}
        assert figures[f"{name}_turn_min"] <= figures[f"{name}_turn_mean"], turns  # type: ignore[operator]


def test_the_weight_is_the_best_on_validation(found: ConversationBenchmark) -> None:
    best = max(found.validation.values())
    assert found.weight == min(w for w, value in found.validation.items() if value == best)


def test_the_file_and_the_table(found: ConversationBenchmark, tmp_path: Path) -> None:
    found.save(tmp_path / "f.json", "name = 'x'", [])
    read = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert read["figures"]["recall10_unnamed"] == found.recalls["model"]["recall10_unnamed"].mean
    assert {"recall1_ci", "recall50_unnamed_ci", "hybrid_recall10"} <= set(read["figures"])
    text = StringIO()
    found.render(Console(file=text, width=90))
    assert "recall@50" in text.getvalue()
    assert f"the hybrid's weight is {found.weight}" in text.getvalue()


def test_data_without_dialogues_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="toy: tells no dialogue of user"):
        benchmark_conversations([untrained(dataset, 0)], toy_dataset())
