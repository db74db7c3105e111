from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from eval.experiment import draw_examples, run_experiment
from eval.experiment_blocks import ArmRunner
from eval.experiment_model import load_subject
from eval.experiment_report import Experiment, _sentence
from eval.intervals import Interval
from eval.significance import Comparison
from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError, PromptError
from rec_gen.metrics import Ranks, mrr, ndcg, recall
from rec_gen.recommender import Recommender
from rec_gen.templates import Template
from rec_gen.testing import random_bundle
from tests.eval.experiments import USERS, blocks, config, table, without_times


@pytest.fixture(scope="module")
def found(place: Path) -> Experiment:
    return run_experiment(config(place), place / "found")


def as_json(experiment: Experiment, folder: Path) -> dict[str, Any]:
    experiment.save(folder / "experiment.json")
    return without_times(folder / "experiment.json")


def test_all_arms_rank_the_same_users_as_a_recommender_does(place: Path, found: Experiment) -> None:
    dataset = Dataset.load(place / "data")
    examples = draw_examples(dataset, config(place))
    assert len(examples) == found.users == found.examples == USERS
    subject = load_subject(config(place).models[0], dataset)
    bundle = random_bundle(dataset.catalog, "title")
    for arm in config(place).arms:
        shown = {"max_history": 4, "max_tokens": 1024}
        prompt = bundle.manifest.prompt.model_copy(update=shown)
        manifest = bundle.manifest.model_copy(update={"prompt": prompt})
        model = subject.runtime._model  # type: ignore[attr-defined]
        template = Template.load(arm.template.template)
        spelled = dataset.catalog, subject.spellings, subject.trie
        recommender = Recommender(Bundle(manifest, *spelled, template, subject.tokenizer, model))
        ranks = []
        for example in examples:
            history = [dataset.catalog.ids[item] for item in example.history]
            (answer,) = recommender.recommend([history], 10, exclude_seen=False, exact=True)
            ids = [one.item.id for one in answer]
            target = dataset.catalog.ids[example.target]
            ranks.append(ids.index(target) if target in ids else np.inf)
        metrics = found.arms[arm.name].metrics
        for name, metric in (("HR@10", recall), ("NDCG@10", ndcg), ("MRR@10", mrr)):
            assert metrics[name].mean == pytest.approx(
                metric(Ranks.of_places(np.array(ranks)), 10).mean()
            )
        assert found.arms[arm.name].certified == 1


def test_differences_are_paired_with_the_baseline(found: Experiment) -> None:
    assert found.baseline == "next_item"
    assert found.arms["next_item"].differences == {}
    assert found.arms["next_item"].verdict == "baseline"
    for name in ("next_item_direct", "shop_next"):
        for metric, difference in found.arms[name].differences.items():
            one, other = found.arms[name].metrics[metric], found.arms["next_item"].metrics[metric]
            assert difference.mean == pytest.approx(one.mean - other.mean)
            assert difference.low <= difference.mean <= difference.high
            assert 0 < difference.p <= difference.p_holm <= 1


def test_slices_say_for_whom_an_arm_is_better(
    place: Path, tmp_path: Path, found: Experiment
) -> None:
    assert {part.by for part in found.slices} == {"target's popularity"}
    whole = run_experiment(config(place, users=None, slices=["brand"]), tmp_path)
    parts = [part for part in whole.slices if part.by == "brand"]
    assert sum(part.examples for part in parts) == whole.examples
    catalog = Dataset.load(place / "data").catalog.frame
    for part in parts:
        listed = catalog.filter(brand=part.value)["item"].implode()
        rows = whole.rows.filter(pl.col("target").is_in(listed))
        means = {arm: rows.filter(arm=arm)["NDCG@10"].mean() for arm in whole.arms}
        assert {arm: m["NDCG@10"].mean for arm, m in part.systems.items()} == pytest.approx(means)
        for arm, gains in part.differences.items():
            gain, one, other = gains["NDCG@10"], means[arm], means["next_item"]
            assert gain.mean == pytest.approx(one - other)  # type: ignore[operator]
            assert gain.low <= gain.mean <= gain.high
    text = StringIO()
    whole.render(Console(file=text, width=100))
    assert "NDCG@10 by brand; + better than next_item" in text.getvalue()


def test_a_column_that_cannot_slice_is_told_before_anything_is_measured(
    place: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"^key 'slices': column 'colour': the catalog has item, title"
    ):
        run_experiment(config(place, slices=["colour"]), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_costs_are_those_of_the_prompts(place: Path, found: Experiment) -> None:
    dataset = Dataset.load(place / "data")
    only = config(place)
    subject = load_subject(only.models[0], dataset)
    examples = draw_examples(dataset, only)
    for arm in only.arms:
        runner = ArmRunner(arm, subject, dataset, only)
        answers = [runner.ask(example) for example in examples]
        result = found.arms[arm.name]
        assert result.prompt_tokens == pytest.approx(np.mean([a.tokens for a in answers]), abs=1e-3)
        assert (result.shown, result.truncated) == (4, 0)
        assert result.sha256 == Template.load(arm.template.template).sha256
    assert found.arms["shop_next"].prompt_tokens > found.arms["next_item"].prompt_tokens


def test_truncated_prompts_are_counted(place: Path, tmp_path: Path) -> None:
    one = {"templates": [{"template": "next_item"}]}
    short = run_experiment(config(place, max_tokens=200, **one), tmp_path)
    assert short.arms["next_item"].truncated == 1
    assert 1 <= short.arms["next_item"].shown < 4


def test_wordings_show_their_spread(found: Experiment) -> None:
    means = [found.arms[a].metrics["NDCG@10"].mean for a in ("next_item", "next_item_direct")]
    spread = found.groups["wordings"]
    assert spread.arms == ["next_item", "next_item_direct"]
    assert (spread.low, spread.high) == (min(means), max(means))
    assert spread.mean == pytest.approx(np.mean(means))


def test_nothing_is_measured_twice(place: Path, found: Experiment) -> None:
    before = blocks(place / "found")
    assert len(before) == 3 * 4
    again = run_experiment(config(place), place / "found")
    assert again == found
    assert blocks(place / "found") == before


@pytest.mark.parametrize(
    "changes",
    [
        {"exact": False},
        {"exclude_seen": True},
        {"score": "catalog"},
        {"max_tokens": 300},
        {"history": [3]},
        {"beam_width": 7},
    ],
)
@pytest.mark.usefixtures("found")
def test_what_decides_the_answers_is_measured_anew(place: Path, changes: dict[str, Any]) -> None:
    before = blocks(place / "found")
    run_experiment(config(place, **changes), place / "found")
    after = blocks(place / "found")
    assert len(after) == len(before) + 12
    assert before.items() <= after.items()


@pytest.mark.usefixtures("found")
def test_an_edited_template_is_measured_anew_and_others_are_not(
    place: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.jinja"
    templates = [*table(place)["templates"], {"template": str(mine)}]
    for text, new in (("", 0), ("{# a note that no model reads #}", 4), ("Think.", 4)):
        before = blocks(place / "found")
        mine.write_text(Template.load("next_item").text + text)
        run_experiment(config(place, templates=templates), place / "found")
        assert len(blocks(place / "found")) == len(before) + new


def test_bundles_and_base_models_are_arms_of_one_experiment(place: Path, tmp_path: Path) -> None:
    models = [{"base": str(place / "base")}, {"bundle": str(place / "bundle"), "name": "mine"}]
    both = run_experiment(
        config(place, models=models, history=[2, 4], baseline="shop_next / mine / 4"), tmp_path
    )
    assert next(iter(both.arms)) == "next_item / base / 2"
    assert len(both.arms) == 12
    assert both.arms["shop_next / mine / 4"].verdict == "baseline"
    assert both.groups.keys() == {
        f"wordings / {model} / {length}" for model in ("base", "mine") for length in (2, 4)
    }
    base, mine = (both.arms[f"next_item / {model} / 4"] for model in ("base", "mine"))
    assert base.prompt_tokens > mine.prompt_tokens


def test_slots_of_the_data_reach_the_prompts(place: Path, tmp_path: Path) -> None:
    (tmp_path / "slots.jinja").write_text(
        "{#\ntask: next_item\nversion: 1\ninputs: history, profile, examples\n#}\n"
        "{{ profile.brand[0].value }}{% for i in history %}{{ i.gap }}{{ i.rated }}{{ i.spelling }}"
        "{% endfor %}{% for e in examples %}{{ e.answer.spelling }}{% endfor %}"
    )
    templates = [{"template": str(tmp_path / "slots.jinja")}]
    assert run_experiment(config(place, templates=templates), tmp_path).users == USERS
    timeless = Dataset.load(place / "data")
    frame = timeless.frame.with_columns(time=None).cast({"time": timeless.frame.schema["time"]})
    (tmp_path / "timeless").mkdir()
    Dataset(timeless.catalog, frame, timeless.manifest).save(tmp_path / "timeless")
    data = {"prepared": str(tmp_path / "timeless")}
    both = [*table(place)["templates"], *templates]
    with pytest.raises(PromptError, match=r"arm 'slots', user 'u\d+': .*'gap' needs times, .*toy"):
        run_experiment(config(place, templates=both, data=data), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_users_bring_all_of_their_examples(place: Path) -> None:
    dataset = Dataset.load(place / "data")
    drawn = draw_examples(dataset, config(place))
    other = draw_examples(dataset, config(place, seed=1))
    assert [e.user for e in drawn] != [e.user for e in other]
    assert [e.user for e in draw_examples(dataset, config(place))] == [e.user for e in drawn]
    everyone = draw_examples(dataset, config(place, users=None))
    assert len(everyone) == len(list(dataset.examples(Split.TEST)))


def test_the_table_fits_a_narrow_terminal_and_ends_in_a_verdict(found: Experiment) -> None:
    text = StringIO()
    found.render(Console(file=text, width=100))
    lines = text.getvalue().splitlines()
    end = next(place for place, line in enumerate(lines) if line.startswith("wordings"))
    assert max(map(len, lines[:end])) <= 100
    assert any("more NDCG@10 than next_item" in line for line in lines)
    assert any(line.startswith("wordings 'wordings', NDCG@10: ") for line in lines)
    assert found.verdict in " ".join(text.getvalue().split())
    assert found.verdict.startswith(f"Over {USERS} users ")


def with_difference(found: Experiment, low: float, high: float, best: bool) -> str:
    arms = dict(list(found.arms.items())[:2])
    (base, first), (other, second) = arms.items()
    mean = (low + high) / 2
    arms[base] = replace(first, metrics={"NDCG@10": Interval(0.5, 0, 1)}, prompt_tokens=100)
    arms[other] = replace(
        second,
        metrics={"NDCG@10": Interval(0.5 + mean, 0, 1)},
        differences={"NDCG@10": Comparison(mean, low, high, 0.01, 0.02, 0.25, 0.01)},
        prompt_tokens=150,
        verdict="better" if low > 0 else "worse" if high < 0 else "no difference shown",
    )
    assert (mean > 0) == best
    return _sentence(arms, base, 7)


def test_the_verdict_says_whether_a_difference_is_real(found: Experiment) -> None:
    assert with_difference(found, 0.1, 0.3, best=True) == (
        "Over 7 users next_item_direct (.7000) is better than next_item: NDCG@10 "
        "+.2000 [+.1000, +.3000], p .0200, for 1.50 times the prompt tokens."
    )
    unsure = with_difference(found, -0.1, 0.3, best=True)
    assert "ranks highest, but is not shown to be better" in unsure
    assert unsure.endswith(
        "so many users show a true difference of .2500 in 80 % of cases at level .0100."
    )
    assert with_difference(found, -0.3, -0.1, best=False).endswith(
        "no arm ranks above the baseline next_item (.5000); worse are next_item_direct."
    )
    assert with_difference(found, -0.3, 0.1, best=False).endswith("no arm is shown to be worse.")
