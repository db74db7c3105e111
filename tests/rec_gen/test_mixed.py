"""Lists of several catalogs, with a quota of each."""

import json
from pathlib import Path

import pytest

from rec_gen.errors import BundleError, DataError, DecodingError
from rec_gen.mixed import MixedRecommender
from tests.rec_gen.command import error, run


@pytest.fixture(scope="module")
def mixed(several_catalogs: Path) -> MixedRecommender:
    return MixedRecommender.load(several_catalogs)


def test_lists_hold_what_was_promised(mixed: MixedRecommender) -> None:
    quota = {"films": 4, "read": 2, "new": 1}
    users = [{"films": ["i3", "i4", "i5"]}, {"read": ["i1"], "films": ["i4"]}, {}]
    for history, answer in zip(users, mixed.recommend(users, quota), strict=True):
        assert {n: sum(each.domain == n for each in answer) for n in quota} == quota
        titles = [each.recommendation.item.title for each in answer]
        assert len(set(titles)) == len(titles)
        assert {f"films {item[1:]}" for item in history.get("films", ())}.isdisjoint(titles)


def test_a_title_of_two_catalogs_stands_in_a_list_once(mixed: MixedRecommender) -> None:
    (answer,) = mixed.recommend([{}], {"films": 12, "read": 10})
    titles = [each.recommendation.item.title for each in answer]
    assert len(set(titles)) == 22


def test_a_history_is_carried_by_shared_titles(mixed: MixedRecommender) -> None:
    (carried,) = mixed.recommend([{"films": ["i3", "i7", "i4"]}], {"read": 5})
    own = mixed.recommenders["read"].recommend([["i0", "i5"]], k=5)[0]
    assert [each.recommendation for each in carried] == list(own)


def test_the_command_line_mixes(several_catalogs: Path) -> None:
    asked = ["mix", several_catalogs, "--quota", "new=2", "--quota", "films=4"]
    shown = run(*asked, "--history", "films=i3,i4", "--json")
    items = json.loads(shown.stdout)["items"]
    assert [item["domain"] for item in items] == ["films", "new", "films", "films", "new", "films"]
    assert "(films, item i" in run(*asked).output
    for wrong in ("films", "films=3,films=x", "new=9"):
        code, line = error(*asked, "--quota", wrong)
        assert code != 0
        assert f"--quota {wrong}" in line


@pytest.mark.parametrize(
    ("history", "quota", "message"),
    [
        ({}, {"toys": 1}, "domain 'toys': the bundle knows films, read, new"),
        ({"toys": ["i1"]}, {"new": 1}, "domain 'toys': the bundle knows films, read, new"),
        ({"films": ["i99"]}, {"read": 1}, "item 'i99' is not in the catalog"),
        ({}, {"films": 0}, "quota of 'films' is 0"),
        ({}, {}, "promise items of at least one domain"),
        ({}, {"new": 13}, "'new' has 12 left of the 13 items that were promised: promise fewer$"),
        ({"new": [f"i{n}" for n in range(12)]}, {"new": 1}, "request 0: 'new' has 0 left of the 1"),
        ({}, {"films": 12, "read": 11}, "'read' has 10 left .*: promise fewer, or name it first"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    mixed: MixedRecommender, history: dict[str, list[str]], quota: dict[str, int], message: str
) -> None:
    with pytest.raises((BundleError, DataError, DecodingError), match=message):
        mixed.recommend([history], quota)
