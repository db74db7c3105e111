"""Changing the catalog of a running recommender."""

import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, cast, get_args

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.catalog import Catalog, Item
from rec_gen.decoding.runtime import Session
from rec_gen.errors import DataError, NoEligibleItemError, PromptError, RecGenError, SpellingError
from rec_gen.recommender import Recommender
from rec_gen.respelling import Respeller
from rec_gen.spelling import Scheme, Spellings, spell, spell_codes, tokenize_new
from rec_gen.testing import random_bundle, tiny_tokenizer
from rec_gen.text import TextEncoder

FILMS = {
    "item": ["a", "b", "c", "d"],
    "title": ["Alien", "Solaris", "Solaris", "Heat"],
    "year": [1979, 1972, 2002, 1995],
    "genres": [["Horror"], ["Drama"], ["Drama"], []],
}
STALKER = Item("e", "Stalker", {"year": 1979, "genres": ["Drama"]})


def films(scheme: Scheme = "title") -> Recommender:
    return Recommender(random_bundle(Catalog(pl.DataFrame(FILMS)), scheme))


def offered(recommender: Recommender, **options: Any) -> set[str]:
    (answer,) = recommender.recommend([[]], k=99, **options)
    assert len({found.item.id for found in answer}) == len(answer)
    return {found.item.id for found in answer}


def film(recommender: Recommender, item: str) -> Item:
    return recommender.catalog[recommender.catalog.position(item)]


def test_a_new_item_is_returned_and_can_be_read() -> None:
    recommender = films()
    assert recommender.put_items([STALKER]) == recommender.version == 1
    assert offered(recommender) == {"a", "b", "c", "d", "e"}
    assert offered(recommender, where="year == 1979") == {"a", "e"}
    (answer,) = recommender.recommend([["e", "a"]], k=99)
    assert {found.item.id for found in answer} == {"b", "c", "d"}
    assert len(recommender.bundle.catalog) == 4


def test_an_edited_item_is_returned_as_it_is_now() -> None:
    recommender = films()
    recommender.put_items([replace(film(recommender, "d"), title="Heat, restored")])
    (answer,) = recommender.recommend([[]], k=1, allow=["d"])
    assert answer[0].item == Item("d", "Heat, restored", {"year": 1995, "genres": []})
    recommender.put_items([Item("d", "Heat", {})])
    assert film(recommender, "d").fields == {"year": None, "genres": None}
    assert offered(recommender, where="year > 0") == {"a", "b", "c"}


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_a_removed_item_stays_known_and_can_come_back(scheme: Scheme) -> None:
    recommender = films(scheme)
    assert offered(recommender, where="year < 2000") == {"a", "b", "d"}
    assert recommender.remove_items(["a"]) == 1
    assert offered(recommender) == {"b", "c", "d"}
    assert offered(recommender, where="year < 2000") == {"b", "d"}
    assert len(recommender.recommend([["a", "b"]], k=99)[0]) == 2
    with pytest.raises(NoEligibleItemError):
        recommender.recommend([[]], allow=["a"])
    recommender.remove_items(["a", "b", "c", "d"])
    with pytest.raises(NoEligibleItemError):
        recommender.recommend([["b"]])
    assert recommender.put_items([film(recommender, "a")]) == 3
    assert offered(recommender) == {"a"}


def test_one_change_can_add_edit_and_remove() -> None:
    recommender = films()
    edited = replace(film(recommender, "b"), title="Stalker")
    assert recommender.update(put=[STALKER, edited], remove=["c"]) == 1
    assert offered(recommender) == {"a", "b", "d", "e"}


def test_what_stays_is_shared() -> None:
    recommender = films()
    before = recommender._index
    recommender.remove_items(["b"])
    recommender.put_items([Item("d", " Heat ", {"year": 1996})])
    assert recommender._index.trie is before.trie
    assert recommender._index.spellings is before.spellings
    recommender.put_items([Item("c", "Solaris", {"year": 2003, "genres": ["Drama"]})])
    assert "Solaris [2003]\n" in recommender._index.spellings.texts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"remove": ["x"]}, "item 'x' is not in the catalog of 4 items"),
        ({"remove": "a"}, "'a' stands where a list of item ids belongs"),
        ({"put": [STALKER, STALKER]}, "item 'e' is put twice"),
        ({"put": ["e"]}, "'e' stands where an Item belongs"),
        ({"put": [Item("a", "Alien", {})], "remove": ["a"]}, "'a' is put and removed at once"),
        ({"put": [Item("e", "E", {"color": 1})]}, "item 'e': the catalog has no column 'color'"),
        ({"put": [Item("e", "E", {"year": "1979"})]}, "'e': column 'year' holds Int64, and not '1"),
        (
            {"put": [STALKER, Item("f", "F", {"genres": "Drama"})]},
            r"item 'f': column 'genres' holds List\(String\), and not 'Drama'",
        ),
        ({"put": [Item("e", " ", {})]}, "item 'e': its title is ' '; give it a text"),
        ({"put": [Item(cast("str", 5), "Five", {})]}, "item 5: its id is 5; give it a text"),
        ({"put": [Item("e", "\u200e", {})]}, "item 'e' has a title without any text"),
        ({"put": [STALKER], "codes": {"e": [1]}}, "'e' comes with codes, and this model spells by"),
        ({"put": [STALKER], "codes": {"a": [1]}}, "item 'a' has codes and is not put"),
    ],
)
def test_a_wrong_change_is_one_line_and_changes_nothing(
    change: dict[str, Any], message: str
) -> None:
    recommender = films()
    before = recommender._index
    with pytest.raises(RecGenError, match=message):
        recommender.update(**{"put": [], "remove": ["b"], **change})
    assert recommender._index is before
    assert offered(recommender) == {"a", "b", "c", "d"}


def test_a_change_is_kept_before_it_is_seen_or_not_made() -> None:
    recommender = films()
    seen: list[set[str]] = []
    recommender.update(put=[STALKER], commit=lambda: seen.append(offered(recommender)))
    assert seen == [{"a", "b", "c", "d"}]
    assert offered(recommender) == {"a", "b", "c", "d", "e"}

    def refuse() -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        recommender.update(remove=["a"], commit=refuse)
    with pytest.raises(DataError):
        recommender.update(remove=["x"], commit=refuse)
    assert offered(recommender) == {"a", "b", "c", "d", "e"}
    assert recommender.version == 1


def test_a_column_without_a_type_takes_no_values() -> None:
    catalog = Catalog(pl.DataFrame({"item": ["a"], "title": ["A"], "note": [None]}))
    assert catalog.put([Item("b", "B", {"note": None})]).ids == ["a", "b"]
    with pytest.raises(DataError, match="item 'b': column 'note' holds Null, and not 'x'"):
        catalog.put([Item("b", "B", {"note": "x"})])


def test_a_model_of_item_tokens_takes_edits_but_no_new_items() -> None:
    recommender = films("item")
    recommender.put_items([Item("a", "Alien, restored", {})])
    assert film(recommender, "a").title == "Alien, restored"
    with pytest.raises(SpellingError, match="item 'e' is new, and this model knows each item"):
        recommender.put_items([STALKER])


def test_a_new_item_of_a_semantic_model_needs_codes_that_the_model_has() -> None:
    recommender = films("semantic")
    vocabulary = len(recommender.bundle.tokenizer)
    codes = [
        int(name.strip("<>abc_")) for name in recommender._index.spellings.texts[0].split("><")
    ]
    wrong: list[tuple[dict[str, list[int]], str]] = [
        ({}, "item 'e' is new: give it 3 codes"),
        ({"e": codes[:2]}, "item 'e': has 2 codes; give 3"),
        ({"e": [*codes[:2], 999]}, "item 'e': the model has no token <c_999>; use codes"),
        ({"e": codes}, "item 'a': shares its codes with others, and the model has no token <d_0>"),
    ]
    for given_codes, message in wrong:
        with pytest.raises(SpellingError, match=message):
            recommender.put_items([STALKER], codes=given_codes)
    second = recommender._index.spellings.texts[1]
    other = [*codes[:2], int(second.rpartition("_")[2].strip(">"))]
    recommender.put_items([STALKER], codes={"e": other})
    assert offered(recommender) == {"a", "b", "c", "d", "e"}
    assert len(recommender.bundle.tokenizer) == vocabulary


def test_a_request_ends_on_the_catalog_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = films()
    read = recommender._runtime.read

    def change_and_read(prompts: Sequence[Sequence[int]]) -> Session:
        if recommender.version == 0:
            recommender.update(put=[STALKER, Item("b", "Other", {})], remove=["a"])
        return read(prompts)

    monkeypatch.setattr(recommender._runtime, "read", change_and_read)
    answers = recommender.recommend([[], []], k=99, batch_size=1)
    for answer in answers:
        assert {found.item.title for found in answer} == {"Alien", "Solaris", "Heat"}
        assert {found.item.id for found in answer} == {"a", "b", "c", "d"}
    assert offered(recommender) == {"b", "c", "d", "e"}


def test_changes_at_once_lose_none() -> None:
    recommender = films("item")

    def edit(year: int) -> int:
        return recommender.put_items([Item("abcd"[year % 4], f"Film {year}", {"year": year})])

    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(edit, range(80)))
    assert sorted(versions) == list(range(1, 81))
    assert len({film(recommender, item).title for item in "abcd"}) == 4
    assert recommender.catalog.ids == FILMS["item"]


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_an_old_index_is_freed_at_once() -> None:
    recommender = films()
    old: list[weakref.ref[object]] = []
    for number in range(3):
        offered(recommender, where="year > 0")
        old += [weakref.ref(recommender._index), weakref.ref(recommender._index.renderer)]
        old.append(weakref.ref(recommender._index.catalog))
        recommender.put_items([replace(STALKER, title=f"Stalker {number}")])
    del old[2]  # the bundle keeps its own catalog
    assert [reference() for reference in old if reference() is not None] == []


TITLES = st.sampled_from(["A", "B", "A [1]", "A [x0]", "C\u200e", "C", "\u00c9", "E\u0301"])
ROWS = st.tuples(TITLES, st.sampled_from([1, 2, None]), st.sampled_from([None, "p", "q"]))
PUTS = st.dictionaries(st.integers(0, 9).map("x{}".format), ROWS, min_size=1, max_size=6)
TOKENIZER = tiny_tokenizer()


def as_items(rows: dict[str, tuple[str, int | None, str | None]]) -> list[Item]:
    return [Item(item, row[0], {"n": row[1], "s": row[2]}) for item, row in rows.items()]


def contents(spellings: Spellings) -> tuple[list[str], list[list[int]]]:
    return spellings.texts, [[int(token) for token in tokens] for tokens in spellings.tokens]


def outcome(run: Callable[[], Spellings]) -> Spellings | str:
    try:
        return run()
    except SpellingError as error:
        return str(error)


@given(st.lists(PUTS, min_size=2, max_size=4))
def test_titles_are_spelled_as_from_scratch(puts: list[dict[str, Any]]) -> None:
    empty = pl.DataFrame(schema={"item": str, "title": str, "n": int, "s": str})
    catalog = Catalog(empty).put(as_items(puts[0]))
    spellings = outcome(partial(spell, catalog, "title", TOKENIZER))
    if isinstance(spellings, str):
        return
    respeller = Respeller(spellings, TOKENIZER)
    for put in puts[1:]:
        changed = catalog.put(as_items(put))
        places = [changed.position(item) for item in put]
        expected = outcome(partial(spell, changed, "title", TOKENIZER))
        found = outcome(partial(respeller.respell, catalog, changed, spellings, places, {}))
        if isinstance(expected, str) or isinstance(found, str):
            assert found == expected
            return
        assert contents(found) == contents(expected)
        catalog, spellings = changed, found


def test_only_changed_titles_are_tokenised(monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = films()
    tokenised = []
    untrusted = TextEncoder.untrusted

    def note(self: TextEncoder, text: str) -> list[int]:
        tokenised.append(text)
        return untrusted(self, text)

    monkeypatch.setattr(TextEncoder, "untrusted", note)
    recommender.put_items([STALKER, Item("d", "Heat", {"year": 1})])
    recommender.put_items([Item("b", "Solaris (1972)", {})])
    assert tokenised == ["Stalker", "Solaris (1972)", "Solaris"]


CODES = st.tuples(st.integers(0, 1), st.integers(0, 2))


@given(
    st.lists(CODES, min_size=1, max_size=5),
    st.lists(st.dictionaries(st.integers(0, 9).map("x{}".format), CODES, min_size=1), max_size=3),
)
def test_codes_are_spelled_as_from_scratch(
    start: list[tuple[int, int]], puts: list[dict[str, tuple[int, int]]]
) -> None:
    tokenizer = tiny_tokenizer()
    tokenize_new("semantic", [[f"<{a}_{n}>" for a in "abc" for n in range(9)]], tokenizer)
    known = {f"x{place}": codes for place, codes in enumerate(start)}
    known["lone"] = (8, 8)  # at least one item shows how many levels there are
    catalog = Catalog(pl.DataFrame({"item": list(known), "title": list(known)}))
    spellings = spell(catalog, "semantic", tokenizer, np.array(list(known.values())))
    respeller, vocabulary = Respeller(spellings, tokenizer), len(tokenizer)
    for put in puts:
        changed = catalog.put([Item(item, item, {}) for item in put])
        known |= put
        codes = np.array([known[item] for item in changed.ids])
        spellings = respeller.respell(catalog, changed, spellings, [], put)
        expected = tokenize_new("semantic", spell_codes(codes), tokenizer)
        assert contents(spellings) == contents(expected)
        assert len(tokenizer) == vocabulary
        catalog = changed


def test_names_the_request_that_cannot_be_rendered() -> None:
    recommender = films()
    recommender.put_items([Item("a", "x" * 2000, {})])
    with pytest.raises(PromptError, match="request 1: "):
        recommender.recommend([["b"], ["a"]], batch_size=1)
