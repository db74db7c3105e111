import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Example, Split
from rec_gen.decoding.runtimes import runtime_for
from rec_gen.decoding.sampling import Sampling
from rec_gen.errors import BundleError, DataError, DecodingError, PromptError
from rec_gen.recommender import Recommender
from rec_gen.testing import brute_force
from tests.rec_gen.test_rating_pairs import chosen
from tests.toy import EVERY_TASK, ITEMS, rated, toy_dataset, toy_recipe
from training.progress import ProgressCallback
from training.rating import HeldOutRatings
from training.run_folder import LOGS, last_checkpoint
from training.sft import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that learnt every task a little."""
    recipe = toy_recipe(
        prompt={"max_tokens": 300},
        tasks=EVERY_TASK,
        train={"max_steps": 60, "batch_size": 16, "learning_rate": 0.01},
        validation={"every_steps": 30},
    )
    folder = tmp_path_factory.mktemp("mixture")
    train(recipe, rated(toy_dataset()), folder)
    return folder


@pytest.fixture(scope="module")
def recommender(run: Path) -> Recommender:
    return Recommender.load(run / "bundle")


HISTORIES = [["i1", "i2", "i3"], [], ["i7"] * 30, ["i0", "i11"]]
ASKED = ["i4", "i0", "i6", "i0"]


def test_rates_as_a_plain_forward_pass(recommender: Recommender) -> None:
    """The softmax over the first tokens by which yes and no differ."""
    bundle = recommender.bundle
    renderer = bundle.renderer().using(bundle.task_template("rating"))
    yes, no = (renderer.answer(liked) for liked in (True, False))
    assert yes[0] != no[0]
    expected = []
    model = Bundle.load(Path(bundle.model.config.name_or_path).parent).model
    for history, item in zip(HISTORIES, ASKED, strict=True):
        places = [bundle.catalog.position(one) for one in history]
        ids = renderer.render(places, item=bundle.catalog.position(item)).ids
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, -1].double()
        expected.append(float(logits[[yes[0], no[0]]].softmax(0)[0]))
    found = recommender.rate(HISTORIES, ASKED, batch_size=3)
    assert found.dtype == np.float64
    assert found == pytest.approx(expected, abs=1e-5)
    one_by_one = [recommender.rate([h], [i])[0] for h, i in zip(HISTORIES, ASKED, strict=True)]
    assert found == pytest.approx(one_by_one, abs=1e-5)


def test_a_request_in_words_finds_distinct_items(recommender: Recommender) -> None:
    bundle = recommender.bundle
    answers = recommender.search(["film amber", "frost"], k=5, block=["i1"], exact=True)
    renderer = bundle.renderer().using(bundle.task_template("search"))
    eligible = [item != 1 for item in range(ITEMS)]
    for text, answer in zip(["film amber", "frost"], answers, strict=True):
        ids = renderer.render(text=text).ids
        scores = brute_force(
            runtime_for(bundle.model), ids, bundle.spellings.tokens, eligible, "lm"
        )
        best = sorted(scores, key=lambda item: -scores[item])[:5]
        assert [found.item.id for found in answer] == [bundle.catalog.ids[item] for item in best]


def test_what_words_find_can_be_drawn_and_capped(recommender: Recommender) -> None:
    def found(**options: Any) -> list[str]:
        (answer,) = recommender.search(["film amber"], k=6, **options)
        return [one.item.id for one in answer]

    drawn = [found(sampling=Sampling(2.0, seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    capped = found(max_per=("brand", 1))
    catalog = recommender.catalog
    brands = [catalog[catalog.position(item)].fields["brand"] for item in capped]
    assert len(set(brands)) == len(brands)
    with pytest.raises(DecodingError, match="nope"):
        found(max_per=("nope", 1))


def test_the_auc_is_logged_and_kept(run: Path, recommender: Recommender) -> None:
    dataset = rated(toy_dataset())
    examples = list(dataset.examples(Split.VALID))
    ids = dataset.catalog.ids
    liked = [example.target % 3 != 0 for example in examples]
    chances = recommender.rate(
        [[ids[place] for place in example.history] for example in examples],
        [ids[example.target] for example in examples],
    )
    metrics = recommender.bundle.manifest.metrics
    assert metrics["auc"] == pytest.approx(roc_auc_score(liked, chances))
    assert metrics["auc_pairs"] == len(examples)
    assert metrics["auc_counted"] == 1  # the toy's ratings depend on the item alone
    state = json.loads(Path(last_checkpoint(run) or "", "trainer_state.json").read_text())
    logged = [log["eval_auc"] for log in state["log_history"] if "eval_auc" in log]
    assert len(logged) == 2
    assert metrics["auc"] in logged
    assert list((run / LOGS).glob("events.out.tfevents.*"))


def test_a_validation_shows_the_auc(capsys: pytest.CaptureFixture[str]) -> None:
    logs = {"eval_ndcg@10": 0.1, "eval_recall@10": 0.2, "eval_auc": 0.75, "eval_auc_counted": 0.7}
    state: Any = type("State", (), {"global_step": 3, "max_steps": 6})
    ProgressCallback().on_log(state, state, state, {**logs, "eval_auc_pairs": 943.0})
    shown = " ".join(capsys.readouterr().err.split())
    assert "recall@10 0.2000, AUC 0.7500 (943 pairs; counted 0.7000)" in shown


def test_mean_ratings_are_drawn_a_little_towards_that_of_all() -> None:
    """Few ratings are trusted less, and twenty are trusted."""
    often = [(f"u{user}", 0, 4.9) for user in range(50)]
    once = [("v", 1, 5.0)]
    high = [(f"w{user}", 2, 5.0) for user in range(20)]
    middling = [(f"x{user}", 3, 3.5) for user in range(200)]
    low = [(f"y{user}", 4, 1.0) for user in range(100)]
    dataset = chosen(*often, *once, *high, *middling, *low)
    for liked, disliked in ((0, 1), (2, 3), (1, 4)):
        nothing = np.zeros(0, np.int32)
        examples = [Example("v", nothing, liked, 5.0), Example("v", nothing, disliked, 1.0)]
        assert HeldOutRatings(dataset, examples, 4.0, seed=0).counted == 1


def test_a_mixed_bundle_is_whole(run: Path, recommender: Recommender, tmp_path: Path) -> None:
    again = Bundle.load(run / "bundle")
    assert [task.name for task in again.tasks] == [task["template"] for task in EVERY_TASK]
    again.save(tmp_path / "copy")
    copy = Recommender.load(tmp_path / "copy")
    assert (copy.rate(HISTORIES, ASKED) == recommender.rate(HISTORIES, ASKED)).all()
    file = tmp_path / "copy" / "tasks" / "rating.jinja"
    file.write_text(file.read_text().replace("Would they like", "Do they own"))
    with pytest.raises(BundleError, match=r"tasks/rating\.jinja was changed .*Do they own"):
        Bundle.load(tmp_path / "copy")
    file.unlink()
    with pytest.raises(BundleError, match=r"tasks/rating\.jinja is missing"):
        Bundle.load(tmp_path / "copy")


def test_asks_clearly_for_what_is_missing(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="1 histories and 2 items: give one for each"):
        recommender.rate([["i1"]], ["i2", "i3"])
    with pytest.raises(DataError, match="item 'x' is not in the catalog"):
        recommender.rate([["i1"]], ["x"])
    with pytest.raises(DataError, match=r"item '\['i2'\]' is not in the catalog"):
        recommender.rate([["i1"]], [["i2"]])  # type: ignore[list-item]
    with pytest.raises(DecodingError, match="batch_size 0"):
        recommender.rate([["i1"]], ["i2"], batch_size=0)
    with pytest.raises(PromptError, match=r"request 1: ' \\n' has no text; give it some words"):
        recommender.search(["film", " \n"])
    with pytest.raises(PromptError, match=r"request 0: .*raise prompt\.max_tokens"):
        recommender.search(["film " * 400])
    with pytest.raises(PromptError, match="'frost' stands where a list of requests belongs"):
        recommender.search("frost")
    for number in (5, None):
        with pytest.raises(PromptError, match=f"request 0: {number} has no text; give it some"):
            recommender.search([number])  # type: ignore[list-item]
    assert recommender.rate([], []).shape == (0,)
    assert recommender.search([]) == []
