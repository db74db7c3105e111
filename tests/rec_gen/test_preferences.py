import polars as pl
import pytest

from rec_gen.catalog import Catalog
from rec_gen.errors import DecodingError
from rec_gen.preferences import categories


def test_numbers_the_values_of_a_column() -> None:
    shelf = ["a", None, "b", "a", None]
    frame = {"item": list("vwxyz"), "title": ["t"] * 5, "shelf": shelf, "price": [1, 2, 1, 1, None]}
    catalog = Catalog(pl.DataFrame(frame))
    assert categories(catalog, "shelf").tolist() == [0, 1, 2, 0, 1]
    assert categories(catalog, "price").tolist() == [0, 1, 0, 0, 4]


def test_refuses_what_is_no_category(catalog: Catalog) -> None:
    with pytest.raises(DecodingError, match="there is no column 'genre'; columns are item, title"):
        categories(catalog, "genre")
    for column in ("genres", "attrs"):
        with pytest.raises(DecodingError, match=f"column '{column}' is .* one value an item"):
            categories(catalog, column)
