"""Vectors of items from columns of the catalog: given ones, and texts and images to be encoded."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.errors import ConfigError, DataError
from rec_gen.image_files import open_image
from rec_gen.models import MINILM, load_text_encoder

if TYPE_CHECKING:
    from PIL.Image import Image

Vectors = npt.NDArray[np.float32]
LONGEST_TEXT = 64
"""Tokens of a text that a sentence embedding is made of; more say little more, and cost time."""


def stored_vectors(catalog: Catalog, column: str) -> Vectors:
    """The vectors that a column holds as lists of numbers, as Parquet does.

    Returns:
        float32 [items, dimensions], zeros where an item has none.

    Raises:
        DataError: There is no such column, or it holds something else, or not as many finite
            numbers for each item.
    """
    cells = _column(catalog, column)
    inner = cells.dtype.inner if isinstance(cells.dtype, (pl.List, pl.Array)) else None
    if inner is None or not inner.is_numeric():
        raise DataError(
            f"catalog: column '{column}' holds {cells.dtype}: vectors are lists of numbers"
        )
    cells = cells.cast(pl.List(pl.Float32))
    lengths = cells.list.len().drop_nulls()
    if lengths.is_empty() or not lengths[0]:
        raise DataError(f"catalog: column '{column}' holds no vector: leave the source out")
    vectors = np.zeros((len(catalog), lengths[0]), np.float32)
    for place, cell in enumerate(cells):
        if cell is None:
            continue
        row = cell.to_numpy()
        if len(row) != lengths[0] or not np.isfinite(row).all():
            raise DataError(
                f"item '{catalog.ids[place]}': column '{column}' needs {lengths[0]} finite "
                "numbers; correct it, or leave it empty"
            )
        vectors[place] = row
    return vectors


def text_vectors(texts: Sequence[str | None], model: str = MINILM) -> Vectors:
    """Sentence embeddings of how texts begin.

    Args:
        texts: Any number; one that is blank says nothing.
        model: A sentence-transformers model.

    Returns:
        float32 [texts, dimensions], 384 by all-MiniLM-L6-v2; zeros where a text is blank.
    """
    encoder = _loaded(model)
    encoder.max_seq_length = min(LONGEST_TEXT, encoder.max_seq_length or LONGEST_TEXT)
    return _encode(encoder, [text if text and text.strip() else None for text in texts])


def image_vectors(catalog: Catalog, column: str, model: str | None) -> Vectors:
    """Embeddings of the images whose paths stand in a column, by a model such as CLIP.

    Args:
        catalog: The items.
        column: Paths, absolute or from the working directory.
        model: A sentence-transformers model that reads images.

    Returns:
        float32 [items, dimensions], zeros where an item has no path.

    Raises:
        ConfigError: No model is named.
        DataError: There is no such column of texts, or a file is no image.
    """
    if model is None:
        raise ConfigError(
            f"spelling.encoders: names no model for the images in '{column}': add "
            f'{column} = "clip-ViT-B-32", or a folder'
        )
    cells = _column(catalog, column)
    if cells.dtype != pl.String:
        raise DataError(f"catalog: column '{column}' holds {cells.dtype}: images are paths")
    images = [
        _open(path, item) if path else None for item, path in zip(catalog.ids, cells, strict=True)
    ]
    return _encode(_loaded(model), images)


@lru_cache(maxsize=4)
def _loaded(model: str) -> Any:
    """A model that stays, since new items come one at a time."""
    return load_text_encoder(model)


def _column(catalog: Catalog, column: str) -> pl.Series:
    if column not in catalog.frame.columns:
        has = ", ".join(catalog.frame.columns)
        raise DataError(f"catalog: there is no column '{column}'; it has {has}")
    return catalog.frame[column]


def _open(path: str, item: str) -> "Image":
    if not Path(path).is_file():
        raise DataError(f"item '{item}': there is no image '{path}'; correct the path")
    try:
        return open_image(Path(path))[0]
    except DataError as error:
        raise DataError(f"item '{item}': {error}") from error


def _encode(encoder: Any, inputs: Sequence[Any]) -> Vectors:
    """float32 [inputs, dimensions], zeros where an input is None; no dimensions where all are."""
    known = [place for place, each in enumerate(inputs) if each is not None]
    if not known:
        return np.zeros((len(inputs), 0), np.float32)
    encoded = encoder.encode([inputs[place] for place in known], show_progress_bar=False)
    vectors = np.zeros((len(inputs), encoded.shape[1]), np.float32)
    vectors[known] = encoded
    return vectors
