"""What a caller prefers among the items of a catalog, as tensors by catalog position."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import torch

from rec_gen.catalog import Catalog
from rec_gen.errors import DataError, DecodingError


def categories(catalog: Catalog, column: str) -> torch.Tensor:
    """Number the values of a column; a missing value, or NaN, is one of them.

    Returns:
        int64 [items], equal where the values are, each below the number of items.

    Raises:
        DecodingError: There is no such column, or it can hold several values an item.
    """
    schema = catalog.frame.schema
    if column not in schema:
        raise DecodingError(f"max_per: there is no column '{column}'; columns are "
                            f"{', '.join(schema)}")  # fmt: skip
    if schema[column].is_nested():
        raise DecodingError(
            f"max_per: column '{column}' is {schema[column]}: a cap needs one value an item, since "
            "overlapping categories have no best first order; choose another column"
        )
    values = catalog.frame[column]
    values = values.fill_nan(None) if values.dtype.is_float() else values
    rows = pl.DataFrame({"value": values, "row": np.arange(len(catalog))})
    return torch.tensor(rows.select(pl.col("row").first().over("value"))["row"].to_numpy())


LARGEST = 1e9
"""Own scores beyond this would drown the log-probabilities that they are added to."""


class OwnScores:
    """The caller's own scores of items, shared by all requests or of each request."""

    def __init__(
        self,
        catalog: Catalog,
        scores: Mapping[str, float] | Sequence[Mapping[str, float]],
        weight: float,
        requests: int,
    ) -> None:
        """Remember the scores.

        Args:
            catalog: The items.
            scores: Scores by item id, one mapping for all requests or one for each.
            weight: What they are multiplied by.
            requests: The number of requests.

        Raises:
            DataError: A shared score is no number, weighs too much, or its item is not in the
                catalog.
            DecodingError: The weight is not finite, or there is not one mapping a request.
        """
        if not math.isfinite(weight):
            raise DecodingError(f"item_weight is {weight}: give a finite number")
        self._catalog, self._weight = catalog, weight
        self._each: Sequence[Mapping[str, float]] = ()
        self._shared: torch.Tensor | None = None
        if isinstance(scores, Mapping):
            self._shared = self._row(scores)[None]
        elif len(scores) == requests:
            self._each = scores
        else:
            raise DecodingError(
                f"item_scores: {len(scores)} mappings for {requests} requests; give one for each, "
                "or a single mapping for all"
            )

    def bonus(self, start: int, stop: int) -> torch.Tensor:
        """What the items of some requests are raised by, float64 [1 or requests, items].

        Raises:
            DataError: A score is no number, weighs too much, or its item is not in the catalog.
        """
        if self._shared is not None:
            return self._shared
        return torch.stack([self._row(scores) for scores in self._each[start:stop]])

    def _row(self, scores: Mapping[str, float]) -> torch.Tensor:
        row = torch.zeros(len(self._catalog), dtype=torch.float64)
        for item, score in scores.items():
            position = self._catalog.position(item)
            try:
                bonus = self._weight * float(score)
            except (TypeError, ValueError, OverflowError):
                bonus = math.nan
            if not abs(bonus) <= LARGEST:
                raise DataError(
                    f"item_scores: item '{item}' has {score}: give a number that is at most "
                    f"{LARGEST:.0e} times item_weight, and filter to exclude or pin items"
                )
            row[position] = bonus
        return row
