import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from eval.background import Background
from eval.baselines import Popularity
from eval.evaluate import evaluate
from eval.intervals import Interval
from eval.leaks import LeakCheck
from eval.lists import Cost, RankedLists
from eval.measures import MEASURES, SUMMARIES, means_of
from eval.ranking import Hybrid, rank_baseline, rank_recommender
from eval.report import Evaluation, verdict
from eval.significance import Comparison
from eval.slices import SliceResult
from rec_gen.answers import Answer, Recommendation
from rec_gen.catalog import Catalog
from rec_gen.counts import Histories, ItemKNN, Scores
from rec_gen.data.dataset import Dataset, Dialogue, Example, Split
from rec_gen.errors import DataError
from rec_gen.metrics import Floats, Ranks, mrr, ndcg, recall
from rec_gen.prior import Prior
from rec_gen.recommender import Recommender
from rec_gen.testing import random_bundle

Draw = Callable[..., Dataset]


@dataclass(frozen=True)
class Rotation:
    """Recommends the last item, then the one after it in the catalog, and so on, round it."""

    catalog: Catalog
    name: str = "rotation"

    def fit(self, dataset: Dataset) -> Self:
        return self

    def score(self, histories: Histories) -> Scores:
        steps = np.arange(len(self.catalog)) - [[history[-1]] for history in histories]
        return np.asarray(-(steps % len(self.catalog)), np.float32)

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        /,
        *,
        k: int,
        exclude_seen: bool,
        dialogues: Sequence[Dialogue | None],
    ) -> list[Answer]:
        items, lists = list(self.catalog), []
        for history in histories:
            start = self.catalog.position(history[-1])
            round_it = enumerate(items[start:] + items[:start])
            eligible = [
                Recommendation(item, -step)
                for step, item in round_it
                if not (exclude_seen and item.id in history)
            ]
            lists.append(Answer(tuple(eligible[:k]), True, 0, len(history), 0))
        return lists


def rank_by_hand(example: Example, items: int, exclude_seen: bool) -> float:
    steps = int(example.target - example.history[-1]) % items
    if not exclude_seen:
        return steps
    passed = {(int(example.history[-1]) + step) % items for step in range(steps)}
    seen = set(example.history.tolist())
    return np.inf if example.target in seen else steps - len(passed & seen)


@pytest.fixture
def evaluation(draw: Draw) -> Evaluation:
    dataset = draw(0)
    return evaluate(Rotation(dataset.catalog), dataset, Split.TEST, exclude_seen=False, seed=3)


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_ranks_of_a_model_and_of_a_baseline_are_those_counted_by_hand(
    draw: Draw, exclude_seen: bool
) -> None:
    dataset = draw(4)
    items, rotation = len(dataset.catalog), Rotation(dataset.catalog)
    examples = [*dataset.examples(Split.VALID), *dataset.examples(Split.TEST)]
    expected = [rank_by_hand(example, items, exclude_seen) for example in examples]
    scored = rank_baseline(rotation, dataset.catalog, examples, exclude_seen, k=items)
    listed = rank_recommender(rotation, dataset.catalog, examples, exclude_seen, k=items)
    cut = rank_recommender(rotation, dataset.catalog, examples, exclude_seen, k=5)
    assert np.isinf(expected).any() == exclude_seen
    for lists in (scored, listed):
        assert lists.ranks.best.tolist() == lists.ranks.worst.tolist() == expected
    assert cut.ranks.best.tolist() == cut.ranks.worst.tolist()
    assert cut.ranks.best.tolist() == [rank if rank < 5 else np.inf for rank in expected]
    assert (scored.items == listed.items).all()
    assert (cut.items == listed.items[:, :5]).all()
    for row, example in enumerate(examples):
        found = listed.items[row][listed.items[row] >= 0].tolist()
        seen = set(example.history.tolist()) if exclude_seen else set()
        assert sorted(found) == sorted(set(range(items)) - seen)
        assert (listed.items[row, len(found) :] == -1).all()


def test_who_has_seen_everything_gets_no_list(draw: Draw) -> None:
    dataset = draw(0)
    items = np.arange(len(dataset.catalog), dtype=np.int32)
    examples = [Example("all", items, 2), Example("most", items[:-1], int(items[-1]))]
    recommender = Recommender(random_bundle(dataset.catalog, "item"))
    lists = rank_recommender(recommender, dataset.catalog, examples, exclude_seen=True)
    assert lists.ranks.best.tolist() == [np.inf, 0]
    assert (lists.items[0] == -1).all()
    alone = rank_recommender(recommender, dataset.catalog, examples[:1], exclude_seen=True)
    assert alone.ranks.best.tolist() == [np.inf]


def test_means_are_of_what_is_defined() -> None:
    frame = pl.DataFrame({"a": [1.0, float("nan"), 0.0], "b": [float("nan")] * 3})
    found = means_of(frame)
    assert found["a"] == 0.5
    assert np.isnan(found["b"])


def test_items_that_a_baseline_ties_can_take_any_place(draw: Draw) -> None:
    dataset = draw(0)
    untrained = Dataset(dataset.catalog, dataset.frame.head(1), dataset.manifest)
    examples = list(dataset.examples(Split.TEST))
    lists = rank_baseline(Popularity().fit(untrained), dataset.catalog, examples, False)
    assert set(lists.ranks.best.tolist()) == {0}
    assert set(lists.ranks.worst.tolist()) == {len(dataset.catalog) - 1}


def test_the_size_of_a_batch_changes_no_list(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = draw(0)
    examples = list(dataset.examples(Split.TEST))
    baseline = ItemKNN().fit(dataset)
    whole = rank_baseline(baseline, dataset.catalog, examples, True)
    monkeypatch.setattr("eval.ranking.MAX_CELLS", 3 * len(dataset.catalog))
    parts = rank_baseline(baseline, dataset.catalog, examples, True)
    assert (parts.items == whole.items).all()
    assert (parts.ranks.best == whole.ranks.best).all()
    assert (parts.ranks.worst == whole.ranks.worst).all()


def test_the_evaluation_holds_the_mean_of_every_metric(draw: Draw, evaluation: Evaluation) -> None:
    dataset = draw(0)
    items = len(dataset.catalog)
    ranks = Ranks.of_places(
        np.array([rank_by_hand(example, items, False) for example in dataset.examples(Split.TEST)])
    )
    model = evaluation.systems["model"]
    for k in (5, 10, 20):
        assert model[f"recall@{k}"].mean == pytest.approx(recall(ranks, k).mean())
        assert model[f"ndcg@{k}"].mean == pytest.approx(ndcg(ranks, k).mean())
        assert model[f"mrr@{k}"].mean == pytest.approx(mrr(ranks, k).mean())
    assert list(evaluation.systems) == [
        "model", "popularity", "recency", "ItemKNN", "Markov + KNN", "EASE",
    ]  # fmt: skip
    for baseline, metrics in evaluation.differences.items():
        for metric, difference in metrics.items():
            gap = model[metric].mean - evaluation.systems[baseline][metric].mean
            assert difference.mean == pytest.approx(gap)
            assert difference.low <= difference.mean <= difference.high


def test_a_hybrid_has_a_row_of_its_own(draw: Draw, evaluation: Evaluation) -> None:
    dataset = draw(0)
    rotation = Rotation(dataset.catalog)
    bundle = replace(random_bundle(dataset.catalog, "item"), prior=Prior.fit(dataset, 0.1))
    hybrid = Hybrid(Recommender(bundle), 5.0)
    found = evaluate(rotation, dataset, Split.TEST, exclude_seen=False, seed=3, hybrid=hybrid)
    assert list(found.systems)[:2] == ["model", "hybrid"]
    assert {name: found.systems[name] for name in evaluation.systems} == evaluation.systems
    examples = list(dataset.examples(Split.TEST))
    lists = rank_recommender(hybrid, dataset.catalog, examples, exclude_seen=False)
    mean = recall(lists.ranks, 10).mean()
    assert found.systems["hybrid"]["recall@10"].mean == pytest.approx(mean)
    alone = rank_recommender(hybrid.recommender, dataset.catalog, examples, exclude_seen=False)
    assert not np.array_equal(lists.ranks.best, alone.ranks.best)
    gap = found.systems["model"]["ndcg@10"].mean - found.systems["hybrid"]["ndcg@10"].mean
    assert found.differences["hybrid"]["ndcg@10"].mean == pytest.approx(gap)


def test_the_split_and_the_masking_reach_every_system(draw: Draw, evaluation: Evaluation) -> None:
    dataset = draw(0)
    other = evaluate(Rotation(dataset.catalog), dataset, Split.VALID, exclude_seen=True, seed=3)
    assert (other.split, other.exclude_seen) == ("valid", True)
    assert other.protocol != evaluation.protocol
    for system, metrics in evaluation.systems.items():
        assert metrics != other.systems[system]


def test_an_answer_costs_time_and_where_a_prompt_is_read_its_tokens(
    draw: Draw, evaluation: Evaluation
) -> None:
    read = [len(example.history) for example in draw(0).examples(Split.TEST)]
    assert list(evaluation.costs) == list(evaluation.systems)
    assert all(cost.ms > 0 for cost in evaluation.costs.values())
    assert evaluation.costs["model"].prompt_tokens == pytest.approx(np.mean(read))
    assert evaluation.costs["popularity"].prompt_tokens is None


def test_an_empty_split_is_an_error_that_names_it(draw: Draw) -> None:
    dataset = draw(0)
    trained = Dataset(dataset.catalog, dataset.frame.head(2), dataset.manifest)
    with pytest.raises(DataError, match="random: split 'test'"):
        evaluate(Rotation(dataset.catalog), trained, Split.TEST, exclude_seen=False, seed=0)


def intervals(table: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, Interval]]:
    return {
        system: {metric: Interval(**ends) for metric, ends in metrics.items()}
        for system, metrics in table.items()
    }


def test_the_json_file_gives_back_the_evaluation(
    draw: Draw, evaluation: Evaluation, tmp_path: Path
) -> None:
    path = tmp_path / "reports" / "test.json"
    evaluation.save(path)
    read = json.loads(path.read_text(encoding="utf-8"))
    for table in (read, *read["slices"]):
        table["systems"] = intervals(table["systems"])
    tables = [read["differences"], *(part["differences"] for part in read["slices"])]
    for metrics in (metrics for table in tables for metrics in table.values()):
        metrics.update({metric: Comparison(**found) for metric, found in metrics.items()})
    read["slices"] = [SliceResult(**part) for part in read["slices"]]
    read["costs"] = {system: Cost(**cost) for system, cost in read["costs"].items()}
    read["leaks"] = [LeakCheck(**check) for check in read["leaks"]]
    assert Evaluation(**read) == evaluation
    assert sorted(path.parent.iterdir()) == [path, path.with_suffix(".parquet")]
    assert evaluation.fingerprint == draw(0).fingerprint
    assert evaluation.versions["numpy"] == version("numpy")
    assert (evaluation.users, evaluation.examples, evaluation.seed) == (40, 40, 3)


def test_the_parquet_file_holds_a_row_for_each_example_and_system(
    draw: Draw, evaluation: Evaluation, tmp_path: Path
) -> None:
    dataset = draw(0)
    evaluation.save(tmp_path / "f.json")
    rows = pl.read_parquet(tmp_path / "f.parquet")
    examples = list(dataset.examples(Split.TEST))
    ids = dataset.catalog.ids
    assert len(rows) == len(examples) * len(evaluation.systems)
    for system, metrics in evaluation.systems.items():
        own = rows.filter(system=system)
        assert own["user"].to_list() == [example.user for example in examples]
        assert own["target"].to_list() == [ids[example.target] for example in examples]
        assert own["history"].to_list() == [len(example.history) for example in examples]
        ends = own.select(pl.col("best", "worst").fill_null(np.inf))
        ranks = Ranks(*ends.to_numpy().T)
        assert recall(ranks, 10).mean() == pytest.approx(metrics["recall@10"].mean)
        assert all(len(set(listed)) == len(listed) == 20 for listed in own["items"])
    alone = rows.filter(pl.col("system") == "model", pl.col("best") < 20)
    assert (alone["items"].list.get(alone["best"].cast(int)) == alone["target"]).all()
    assert (alone["best"] == alone["worst"]).all()


def test_the_table_and_the_verdicts_fit_a_narrow_terminal(evaluation: Evaluation) -> None:
    text = StringIO()
    evaluation.render(Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for system in evaluation.systems:
        assert any(line.strip().startswith(f"{system} ") and "[" in line for line in lines)
    for system, metrics in evaluation.differences.items():
        words = verdict(metrics["ndcg@10"])
        assert any(
            line.strip().startswith(system) and line.rstrip().endswith(words) for line in lines
        )


def test_slices_are_shown_where_asked_for_within_a_hundred_columns(
    evaluation: Evaluation,
) -> None:
    plain, sliced = StringIO(), StringIO()
    evaluation.render(Console(file=plain, width=100))
    more = {"hybrid": "model", "ALS": "EASE"}
    wide = [
        replace(part, systems=part.systems | {new: part.systems[old] for new, old in more.items()})
        for part in evaluation.slices
    ]
    replace(evaluation, slices=wide).render(Console(file=sliced, width=100), slices=True)
    lines = sliced.getvalue().replace("\N{NO-BREAK SPACE}", " ").splitlines()
    assert max(map(len, lines)) <= 100
    for part in evaluation.slices:
        assert f"NDCG@10 by {part.by}" not in plain.getvalue()
        assert f"NDCG@10 by {part.by}" in sliced.getvalue()
        row = next(line for line in lines if line.startswith(f" {part.value} "))
        few = " (few)" if part.few else ""
        assert f" {part.users}{few} " in row
        verdicts = [verdict(found["ndcg@10"]) for found in part.differences.values()]
        assert row.count(" +") == verdicts.count("better")
        assert row.count(" \N{MINUS SIGN}") == verdicts.count("worse")
    assert {part.few for part in evaluation.slices} == {True, False}
    assert "Verdicts are not corrected for how many slices there are." in sliced.getvalue()


def test_values_of_columns_are_shown_as_they_are(evaluation: Evaluation) -> None:
    text = StringIO()
    odd = replace(evaluation.slices[0], value="[bold]\x1b[31mred[/]")
    replace(evaluation, slices=[odd]).render(Console(file=text, width=100), slices=True)
    assert "[bold]" in text.getvalue()
    assert "red[/]" in text.getvalue()
    assert "\x1b" not in text.getvalue()


def test_a_measure_needs_one_line_to_be_shown(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = draw(0)

    def first_popularity(lists: RankedLists, background: Background) -> Floats:
        return background.popularity[lists.items[:, 0]].astype(np.float64)

    def distinct(lists: RankedLists, background: Background) -> float:
        return len(np.unique(lists.items)) / len(background.dataset.catalog)

    monkeypatch.setitem(MEASURES, "popularity@1", first_popularity)
    monkeypatch.setitem(SUMMARIES, "coverage", distinct)
    found = evaluate(
        Rotation(dataset.catalog), dataset, Split.TEST, exclude_seen=False, seed=0,
        baselines=["popularity"],
    )  # fmt: skip
    most = Background.of(dataset, Split.TEST).popularity.max()
    assert found.systems["popularity"]["popularity@1"].mean == most
    coverage = {system: summary["coverage"] for system, summary in found.summaries.items()}
    assert coverage == {"model": 1.0, "popularity": 20 / 25}
    text = StringIO()
    found.render(Console(file=text, width=80))
    rows = [line.split() for line in text.getvalue().splitlines()]
    header = next(row for row in rows if "popularity@1" in row)
    assert header[-1] == "coverage"
    shown = dict(zip(header, rows[rows.index(header) + 3][1:], strict=True))
    assert (float(shown["popularity@1"]), float(shown["coverage"])) == (most, 0.8)


def test_what_is_left_out_or_allowed_is_told(
    draw: Draw, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.ease.MAX_ITEMS", 24)
    dataset = draw(0)
    found = evaluate(Rotation(dataset.catalog), dataset, Split.TEST, exclude_seen=False, seed=3)
    assert {name: found.systems[name] for name in found.systems} == {
        name: metrics for name, metrics in evaluation.systems.items() if name != "EASE"
    }
    leaks = [LeakCheck("colliding-spellings", "allowed", "row 3"), *evaluation.leaks[1:]]
    text = StringIO()
    replace(found, leaks=leaks).render(Console(file=text, width=80))
    assert "without EASE: it inverts a matrix of items x items" in text.getvalue()
    assert "allowed leak colliding-spellings: row 3" in text.getvalue()
    assert "checks for leaks: 1 allowed, 4 not applicable" in text.getvalue()


def test_a_leak_stops_before_anything_is_ranked(draw: Draw) -> None:
    dataset = draw(0)
    frame = dataset.frame.with_columns(pl.lit("test").cast(pl.Enum(Split)).alias("split"))
    kept = pl.when(pl.int_range(pl.len()) % 3 == 2).then(dataset.frame["split"])
    leaky = Dataset(
        dataset.catalog, frame.with_columns(split=kept.otherwise("split")), dataset.manifest
    )
    with pytest.raises(DataError, match="leak target-in-history-of-training"):
        evaluate(Rotation(dataset.catalog), leaky, Split.TEST, exclude_seen=False, seed=0)


def test_numbers_are_printed_without_a_leading_zero_and_with_their_sign(
    evaluation: Evaluation,
) -> None:
    metrics = dict.fromkeys(evaluation.systems["model"], Interval(0.1374, 0, 1))
    shown = replace(
        evaluation,
        systems={"model": metrics},
        differences={
            "Markov + KNN": {"ndcg@10": Comparison(0.0012, -0.006, 0.0083, 0.4, 0.8, 0.01)}
        },
    )
    text = StringIO()
    shown.render(Console(file=text, width=80))
    assert ".1374 [.0000, 1.0000]" in text.getvalue()
    minus = "\N{MINUS SIGN}"
    row = f"Markov + KNN +.0012 [{minus}.0060, +.0083] .8000 .0100 no difference shown"
    assert row.split() in [line.split() for line in text.getvalue().splitlines()]
    told = "Detectable: the true difference that is found in 80 % of cases at level .0500."
    assert told in text.getvalue()
