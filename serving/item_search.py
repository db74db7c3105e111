"""Items by a part of their title."""

from typing import Any

import numpy as np
import numpy.typing as npt

from rec_gen.catalog import Catalog
from rec_gen.rules import eligible_items
from serving.responses import item_json


def passing(catalog: Catalog, where: str | None) -> npt.NDArray[np.bool_]:
    """The items that a rule lets through, or all where there is none; bool [items].

    Raises:
        RuleError: The rule is wrong.
    """
    return np.ones(len(catalog), bool) if where is None else eligible_items(catalog, where)


def find_items(
    catalog: Catalog, passed: npt.NDArray[np.bool_], title: str, limit: int
) -> dict[str, Any]:
    """Items whose title holds a text, in the catalog's order.

    Args:
        catalog: The items.
        passed: bool [items], which of them count.
        title: The text; capitals change nothing.
        limit: Items to return, at most.

    Returns:
        What `serving.schemas.CatalogItems` describes.
    """
    titles = catalog.frame["title"].str.to_lowercase()
    found = passed & titles.str.contains(title.lower(), literal=True).to_numpy()
    places = found.nonzero()[0]
    return {
        "items": [item_json(catalog[int(place)]) for place in places[:limit]],
        "total": len(places),
    }
