import polars as pl
import pytest

from rec_gen.catalog import Catalog
from rec_gen.errors import DataError


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item": ["a"]}, "column 'title' is missing"),
        ({"item": ["a", "a"], "title": ["A", "B"]}, "item id 'a' stands more than once"),
        ({"item": ["a", None], "title": ["A", "B"]}, "row 1 has no item; give every item one"),
        ({"item": ["a", "b"], "title": [None, "B"]}, "row 0 has no title"),
    ],
)
def test_a_catalog_has_ids_and_titles(columns: dict[str, list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Catalog(pl.DataFrame(columns))


def test_texts_join_columns_and_leave_gaps_out() -> None:
    columns = {"item": ["a", "b"], "title": ["A", "B"], "brand": ["X", None], "n": [[1, 2], []]}
    catalog = Catalog(pl.DataFrame(columns))
    assert catalog.texts(["title", "brand", "n"]) == ["A. X. 1, 2", "B. "]
    with pytest.raises(DataError, match="no column 'price'; it has item, title, brand, n"):
        catalog.texts(["price"])
