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
