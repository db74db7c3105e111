import pytest

from rec_gen.errors import DataError, DecodingError, NoEligibleItemError
from rec_gen.recommender import Recommendation, Recommender
from tests.toy import ITEMS, toy_dataset, toy_recipe
from training.sft import train


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    folder = tmp_path_factory.mktemp("run")
    return Recommender.load(train(toy_recipe(), toy_dataset(), folder), device="cpu")


def ids(answer: list[Recommendation]) -> list[str]:
    return [recommendation.item.id for recommendation in answer]


ALL = {f"i{item}" for item in range(ITEMS)}


def test_never_returns_seen_or_blocked_items(recommender: Recommender) -> None:
    first, second = recommender.recommend([["i1", "i2"], ["i7"]], k=99, block=["i3"])
    assert set(ids(first)) == ALL - {"i1", "i2", "i3"}
    assert set(ids(second)) == ALL - {"i7", "i3"}


def test_returns_seen_items_when_asked(recommender: Recommender) -> None:
    (answer,) = recommender.recommend([["i1", "i2"]], k=ITEMS, exclude_seen=False)
    assert set(ids(answer)) == ALL


def test_returns_allowed_items_only(recommender: Recommender) -> None:
    (answer,) = recommender.recommend([["i1"]], allow=["i1", "i4", "i9"])
    assert set(ids(answer)) == {"i4", "i9"}


def test_obeys_a_rule(recommender: Recommender) -> None:
    for _ in range(2):
        (answer,) = recommender.recommend(
            [["i1"]], k=99, where='item in {"i1", "i2", "i3"}', block=["i3"]
        )
        assert ids(answer) == ["i2"]
    (answer,) = recommender.recommend([["i1"]], k=99, where='title != "Film 5"')
    assert set(ids(answer)) == ALL - {"i1", "i5"}
    with pytest.raises(NoEligibleItemError):
        recommender.recommend([["i1"]], where='item == "i1"')


def test_an_empty_history_gets_an_answer(recommender: Recommender) -> None:
    (answer,) = recommender.recommend([[]], k=3)
    assert len(ids(answer)) == 3
    assert recommender.recommend([]) == []


@pytest.mark.parametrize("score", ["lm", "catalog"])
def test_batches_change_nothing(recommender: Recommender, score: str) -> None:
    histories = [["i1"], ["i2", "i3", "i4"], [], ["i5"] * 30]
    together = recommender.recommend(histories, score=score)  # type: ignore[arg-type]
    for history, answer in zip(histories, together, strict=True):
        (alone,) = recommender.recommend([history], score=score, batch_size=1)  # type: ignore[arg-type]
        assert ids(alone) == ids(answer)
        assert [r.score for r in alone] == pytest.approx([r.score for r in answer], abs=1e-4)


def test_names_an_unknown_item(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="item 'i99' is not in the catalog"):
        recommender.recommend([["i1"], ["i99"]])


def test_names_the_request_that_has_nothing_left(recommender: Recommender) -> None:
    histories = [["i1"]] * 3 + [sorted(ALL)]
    with pytest.raises(NoEligibleItemError, match="request 3: no item is left"):
        recommender.recommend(histories, batch_size=2)


def test_refuses_what_has_no_meaning(recommender: Recommender) -> None:
    for options in ({"k": 0}, {"batch_size": 0}, {"beam_width": -1}, {"score": "LM"}):
        with pytest.raises(DecodingError, match="give the score lm or catalog"):
            recommender.recommend([["i1"]], **options)
    with pytest.raises(DataError, match="'i1' stands where a list"):
        recommender.recommend(["i1"])
    with pytest.raises(DataError, match="'i1' stands where a list"):
        recommender.recommend([["i2"]], block="i1")


def test_exact_finds_at_least_what_a_beam_finds(recommender: Recommender) -> None:
    (beam,), (exact,) = (
        recommender.recommend([["i1"]], k=3, beam_width=1, exact=flag) for flag in (False, True)
    )
    assert [r.score for r in exact] >= [r.score for r in beam]
