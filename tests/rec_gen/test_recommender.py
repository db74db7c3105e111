import math
from collections.abc import Sequence
from typing import Any

import pytest

from rec_gen.answers import Recommendation
from rec_gen.decoding.sampling import Sampling
from rec_gen.decoding.score import Score
from rec_gen.errors import DataError, DecodingError, NoEligibleItemError, RecGenError
from rec_gen.index import Filters
from rec_gen.recommender import Recommender
from tests.toy import ITEMS, toy_dataset, toy_recipe
from training.sft import train


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    folder = tmp_path_factory.mktemp("run")
    return Recommender.load(train(toy_recipe(), toy_dataset(), folder), device="cpu")


def ids(answer: Sequence[Recommendation]) -> list[str]:
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


def test_each_request_has_filters_of_its_own(recommender: Recommender) -> None:
    filters = [
        Filters(block=["i3"], where='item in {"i1", "i2", "i3"}'),
        Filters(allow=["i1", "i4", "i9"]),
        Filters(),
    ]
    histories = [["i1"], ["i1"], ["i2", "i5"]]
    answers = recommender.recommend(histories, k=99, filters=filters)
    assert [set(ids(answer)) for answer in answers] == [{"i2"}, {"i4", "i9"}, ALL - {"i2", "i5"}]
    for number, one in enumerate(filters):
        (alone,) = recommender.recommend([histories[number]], k=99, filters=[one])
        assert ids(alone) == ids(answers[number])
    capped = recommender.recommend(histories, k=99, filters=filters, max_per=("title", 1))
    assert [set(ids(answer)) for answer in capped] == [set(ids(answer)) for answer in answers]
    with pytest.raises(NoEligibleItemError, match="request 1: "):
        recommender.recommend([["i2"], ["i1"]], filters=[Filters(), Filters(allow=["i1"])])


@pytest.mark.parametrize(
    "options", [{"filters": [Filters()]}, {"filters": [Filters()] * 2, "block": ["i1"]}]
)
def test_filters_are_of_each_request_or_of_all(
    recommender: Recommender, options: dict[str, Any]
) -> None:
    with pytest.raises(DecodingError, match="give one for each, and neither"):
        recommender.recommend([["i1"], []], **options)


def test_an_answer_counts_its_tokens(recommender: Recommender) -> None:
    short, long = recommender.recommend([["i1"], ["i1", "i2", "i3"]], k=2)
    assert 0 < short.prompt_tokens < long.prompt_tokens
    spelled = dict(zip(recommender.catalog.ids, recommender.bundle.spellings.tokens, strict=True))
    assert short.answer_tokens == sum(len(spelled[item]) for item in ids(short))


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


HISTORIES = [["i1"], ["i2", "i3", "i4"], [], ["i5"] * 30, ["i1"]]


@pytest.mark.parametrize("score", ["lm", "catalog"])
def test_a_draw_depends_on_seed_and_request_alone(recommender: Recommender, score: Score) -> None:
    def draw(histories: list[list[str]], seed: int, batch_size: int) -> list[list[str]]:
        sampling = Sampling(temperature=2.0, seed=seed)
        answers = recommender.recommend(
            histories, k=5, score=score, sampling=sampling, batch_size=batch_size
        )
        return [ids(answer) for answer in answers]

    together = draw(HISTORIES, 3, 32)
    assert together == draw(HISTORIES, 3, 2)
    assert together[::-1] == draw(HISTORIES[::-1], 3, 1)
    assert together[0] == together[4]
    assert together != draw(HISTORIES, 4, 32)


def test_a_draw_returns_the_scores_of_the_model(recommender: Recommender) -> None:
    (every,) = recommender.recommend([["i1"]], k=ITEMS)
    (drawn,) = recommender.recommend([["i1"]], k=4, sampling=Sampling(temperature=3.0))
    scores = {r.item.id: r.score for r in every}
    assert [r.score for r in drawn] == pytest.approx([scores[i] for i in ids(drawn)], abs=1e-5)


def test_caps_the_items_of_a_category(recommender: Recommender) -> None:
    (answer,) = recommender.recommend([["i1"]], k=99, max_per=("title", 1))
    assert set(ids(answer)) == ALL - {"i1"}
    with pytest.raises(DecodingError, match="allow at least 1"):
        recommender.recommend([["i1"]], max_per=("title", 0))


def test_huge_numbers_mean_the_whole_catalog(recommender: Recommender) -> None:
    (answer,) = recommender.recommend(
        [["i1"]], k=10**30, beam_width=10**30, batch_size=10**30, max_per=("title", 10**30)
    )
    assert set(ids(answer)) == ALL - {"i1"}


def test_adds_item_scores(recommender: Recommender) -> None:
    (plain,) = recommender.recommend([["i1"]], k=ITEMS)
    own = {"i5": -2.0, "i9": 3.0}
    (combined,) = recommender.recommend([["i1"]], k=ITEMS, item_scores=own, item_weight=0.5)
    expected = {r.item.id: r.score + 0.5 * own.get(r.item.id, 0.0) for r in plain}
    assert ids(combined) == sorted(expected, key=lambda item: -expected[item])
    assert {r.item.id: r.score for r in combined} == pytest.approx(expected, abs=1e-5)
    each = [{f"i{item}": 1e3} for item in range(6, 6 + len(HISTORIES))]
    answers = recommender.recommend(HISTORIES, k=1, item_scores=each, batch_size=2)
    assert [ids(answer) for answer in answers] == [["i6"], ["i7"], ["i8"], ["i9"], ["i10"]]


def test_scales_scores(recommender: Recommender) -> None:
    ((log,), (listed,), (likely,)) = (
        recommender.recommend([["i1"]], k=4, scale=scale)
        for scale in ("log", "list", "probability")
    )
    assert ids(log) == ids(listed) == ids(likely)
    assert sum(r.score for r in listed) == pytest.approx(1)
    ratios = [math.exp(r.score - log[0].score) for r in log]
    assert [r.score / listed[0].score for r in listed] == pytest.approx(ratios)
    probabilities = [r.score for r in likely]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(0 < probability < 1 for probability in probabilities)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "percent"}, "scale is 'percent': give log, list or probability"),
        ({"scale": "probability", "item_scores": {}}, "knows nothing of item_scores"),
        ({"item_scores": {"i1": math.nan}}, "item_scores: item 'i1' has nan: give a number"),
        ({"item_scores": {"i1": 1e300}, "item_weight": 1e300}, "item 'i1' has 1e"),
        ({"item_scores": {"i1": 1}, "item_weight": math.inf}, "item_weight is inf"),
        ({"item_scores": [{}, {}]}, "2 mappings for 1 requests"),
        ({"item_scores": {"i99": 1.0}}, "item 'i99' is not in the catalog"),
        ({"item_scores": {"i1": 1e17}}, "has 1e+17: give a number that is at most 1e+09 times"),
        ({"k": 2.5}, "beam_width 20, batch_size 32: give the score lm or catalog, and whole"),
        ({"max_per": "title"}, "max_per is 'title': give a column and a whole number"),
        ({"max_per": ("title",)}, "max_per is ('title',): give a column and a whole number"),
        ({"max_per": ("title", 1.5)}, "max_per is ('title', 1.5): give a column and a whole"),
        ({"max_per": ("shelf", 1)}, "max_per: there is no column 'shelf'; columns are item"),
    ],
)
def test_refuses_options_without_meaning(
    recommender: Recommender, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecGenError) as caught:
        recommender.recommend([["i1"]], **options)
    assert message in str(caught.value)
