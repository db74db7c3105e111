from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from rec_gen.catalog import Catalog
from rec_gen.errors import DataError, DecodingError
from rec_gen.preferences import OwnScores, categories


def test_numbers_the_values_of_a_column() -> None:
    shelf = ["a", None, "b", "a", None]
    frame = {"item": list("vwxyz"), "title": ["t"] * 5, "shelf": shelf, "price": [1, 2, 1, 1, None]}
    catalog = Catalog(pl.DataFrame(frame))
    assert categories(catalog, "shelf").tolist() == [0, 1, 2, 0, 1]
    assert categories(catalog, "price").tolist() == [0, 1, 0, 0, 4]


def test_nan_is_a_missing_value() -> None:
    frame = {"item": list("wxyz"), "title": ["t"] * 4, "price": [1.0, None, float("nan"), 1.0]}
    assert categories(Catalog(pl.DataFrame(frame)), "price").tolist() == [0, 1, 1, 0]


def test_takes_any_kind_of_number(catalog: Catalog) -> None:
    scores = cast("dict[str, float]", {"a": np.float32(2), "b": 3, "c": True})
    assert OwnScores(catalog, scores, 0.5, 1).bonus(0, 1).tolist() == [[1, 1.5, 0.5, 0, 0, 0]]


@pytest.mark.parametrize("score", ["x", None, [1.0], 10**400, 1e17])
def test_names_a_score_that_cannot_be_added(catalog: Catalog, score: Any) -> None:
    with pytest.raises(DataError, match=r"item_scores: item 'b' has .*: give a number"):
        OwnScores(catalog, {"b": score}, 1.0, 1)


def test_refuses_what_is_no_category(catalog: Catalog) -> None:
    with pytest.raises(DecodingError, match="there is no column 'genre'; columns are item, title"):
        categories(catalog, "genre")
    for column in ("genres", "attrs"):
        with pytest.raises(DecodingError, match=f"column '{column}' is .* one value an item"):
            categories(catalog, column)
