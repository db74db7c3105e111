import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from eval.leakage import Reading, attack, exposure, read_users
from eval.rating_metrics import auc
from rec_gen.bundle import Bundle
from rec_gen.errors import BundleError
from rec_gen.testing import random_bundle
from tests.toy import toy_dataset


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return random_bundle(toy_dataset().catalog, "item")


def test_reads_each_item_after_those_before_it(bundle: Bundle) -> None:
    histories = [np.array([3, 1, 4, 1, 5], np.int32), np.array([2, 7], np.int32)]
    readings = read_users(bundle, histories)
    tokens = torch.tensor([int(spelling[0]) for spelling in bundle.spellings.tokens])
    for history, reading in zip(histories, readings, strict=True):
        assert len(reading.losses) == len(history) - 1
        for place in range(1, len(history)):
            prompt = bundle.renderer().render(history[:place])
            with torch.inference_mode():
                scores = bundle.model(torch.tensor([prompt.ids])).logits[0, -1, tokens].double()
            item = int(history[place])
            loss, rank = reading.losses[place - 1], reading.ranks[place - 1]
            assert loss == pytest.approx(-float(scores.log_softmax(0)[item]), rel=1e-4)
            assert rank == 1 + int((scores > scores[item]).sum())


def test_refuses_items_of_several_tokens() -> None:
    with pytest.raises(BundleError, match=r"several tokens: .* spelling\.scheme = "):
        read_users(random_bundle(toy_dataset().catalog, "semantic"), [])


def test_exposure_is_all_bits_for_what_is_known_and_as_many_as_chance_gives() -> None:
    assert exposure(Reading(np.zeros(3), np.ones(3)), 1024) == 10
    drawn = np.random.default_rng(0).integers(1, 1025, 100_000).astype(np.float64)
    assert exposure(Reading(np.zeros(1), drawn), 1024) == pytest.approx(1 / np.log(2), abs=0.03)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2).filter(
        lambda pairs: 0 < sum(liked for liked, _ in pairs) < len(pairs)
    )
)
def test_auc_is_that_of_scikit_learn(pairs: list[tuple[bool, int]]) -> None:
    liked, scores = (np.array(column) for column in zip(*pairs, strict=True))
    assert auc(liked, scores) == pytest.approx(roc_auc_score(liked, scores))


def test_an_attack_finds_members_and_guesses_where_nothing_tells() -> None:
    rng = np.random.default_rng(0)
    names = [[f"{group}{user}" for user in range(300)] for group in "mo"]
    others = rng.normal(size=300)
    apart = attack(others + 10, others, *names)
    assert apart.auc.mean == apart.found.mean == 1
    alike = attack(rng.normal(size=300), others, *names)
    assert alike.auc.low < 0.5 < alike.auc.high
    assert alike.found.mean < 0.05
