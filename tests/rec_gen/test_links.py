from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.catalog import Catalog
from rec_gen.links import COUNT, Links
from tests.talk import ACTORS, FILMS, talk_dataset


def test_a_name_leads_to_the_items_that_have_it(tmp_path: Path) -> None:
    catalog = talk_dataset(tmp_path).catalog
    links = Links(catalog)
    found = links.find([ACTORS[1].upper()], [])
    assert {catalog.titles[place] for place in found} == {f"{f} (1999)" for f in FILMS[ACTORS[1]]}
    assert links.find(["Nobody"], []) == []


def test_a_named_item_leads_to_its_like_and_not_to_itself(tmp_path: Path) -> None:
    catalog = talk_dataset(tmp_path).catalog
    item = catalog.titles.index(f"{FILMS[ACTORS[2]][0]} (1999)")
    found = Links(catalog).find([], [item])
    assert item not in found
    assert {catalog.titles[place] for place in found[-2:]} == {
        f"{film} (1999)" for film in FILMS[ACTORS[2]][1:]
    }


def test_what_was_named_later_weighs_more(tmp_path: Path) -> None:
    catalog = talk_dataset(tmp_path).catalog
    for first, last in ((0, 1), (1, 0)):
        best = Links(catalog).find([ACTORS[first], ACTORS[last], "Nobody"], [])[-1]
        assert catalog.titles[best].removesuffix(" (1999)") in FILMS[ACTORS[last]]


def test_a_catalog_without_lists_leads_nowhere() -> None:
    catalog = Catalog(pl.DataFrame({"item": ["a"], "title": ["A"], "brand": ["B"]}))
    assert Links(catalog).find(["B"], [0]) == []


VALUES = st.lists(st.lists(st.sampled_from("abcdef"), max_size=4), min_size=2, max_size=60)


@given(VALUES, st.lists(st.sampled_from("abcdefg"), max_size=5), st.data())
def test_all_that_is_found_shares_something(
    values: list[list[str]], named: list[str], data: st.DataObject
) -> None:
    size = len(values)
    history = data.draw(st.lists(st.integers(0, size - 1), max_size=3))
    frame = {"item": [f"{n}" for n in range(size)], "title": ["A"] * size}
    cells = pl.Series("cast", values, pl.List(pl.String))
    links = Links(Catalog(pl.DataFrame(frame).with_columns(cells)))
    scores, found = links.score(named, history), links.find(named, history)
    shared = set(named).union(*(values[item] for item in history))
    assert len(found) == len(set(found)) <= COUNT
    assert (np.diff(scores[found]) >= 0).all()
    eligible = {n for n in range(size) if shared & set(values[n])} - set(history)
    assert set(found) <= eligible
    assert len(found) == min(COUNT, len(eligible))
    if found:
        assert scores[list(eligible - set(found))].max(initial=0) <= scores[found[0]]
