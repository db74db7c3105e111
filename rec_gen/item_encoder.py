"""From an item's text and columns to the semantic codes that the clusters of training give it.

Sources that tell nothing of an item, as co-occurrence does of a new one, are left out of its
distances: the nearest cluster is that of the dimensions that are known.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from rec_gen.catalog import Catalog
from rec_gen.errors import BundleError, SpellingError
from rec_gen.quantization import Labels, residual_codebooks
from rec_gen.semantic_ids import ItemVectorConfig, join, source_vectors
from rec_gen.word_factors import WordFactors

FORMAT = "rec_gen-item-encoder-1"
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ItemEncoder:
    """What gave the items of training their codes, kept for items that come later.

    Attributes:
        config: What the vector of an item is made of.
        widths: The dimensions of each source.
        centers: float32 [levels, codes, dimensions], the centers of each level's clusters.
        words: The directions of the source `words`, where it is among the sources.
    """

    config: ItemVectorConfig
    widths: tuple[int, ...]
    centers: Vectors
    words: WordFactors | None = None

    @classmethod
    def fit(
        cls,
        catalog: Catalog,
        histories: Sequence[npt.NDArray[np.int32]],
        config: ItemVectorConfig,
        levels: int,
        codes: int,
        seed: int,
        *,
        balanced: bool = True,
    ) -> tuple[Self, Labels]:
        """Cluster the vectors of a catalog's items.

        Args:
            catalog: The items.
            histories: Catalog positions of each user's training interactions.
            config: What the vectors are made of.
            levels: Codes an item.
            codes: Clusters a level.
            seed: Seeds factorisations and clusterings.
            balanced: Whether the clusters of a level are of equal size.

        Returns:
            The encoder, and the items' codes, int64 [items, levels].

        Raises:
            SpellingError: There are fewer than two items, or their texts have too little in common.
            RecGenError: A column, a package or a model is not to be had.
        """
        if len(catalog) < 2:
            raise SpellingError("semantic IDs need at least two items; spell by title or item")
        words, parts = None, []
        for source in config.sources:
            if source == "words":
                words, vectors = WordFactors.fit(catalog.texts(config.text), seed)
            else:
                vectors = source_vectors(source, catalog, histories, config, seed)
            if not vectors.shape[1]:
                raise SpellingError(f"'{source}' tells nothing of any item: leave it out")
            parts.append(vectors)
        joined = join(parts, list(map(config.weight, config.sources)))
        labels, centers = residual_codebooks(joined, levels, codes, seed, balanced=balanced)
        return cls(config, tuple(part.shape[1] for part in parts), centers, words), labels

    def encode(self, catalog: Catalog) -> tuple[Vectors, npt.NDArray[np.bool_]]:
        """The joined vectors of items that came later.

        Args:
            catalog: These items alone.

        Returns:
            float32 [items, dimensions], and whether anything is known there, bool of that shape.

        Raises:
            DataError: A column is missing, or its vectors are not as long as in training.
            RecGenError: A package or a model is not to be had.
        """
        parts = [
            self._part(source, width, catalog)
            for source, width in zip(self.config.sources, self.widths, strict=True)
        ]
        known = [np.repeat(part.any(axis=1, keepdims=True), part.shape[1], 1) for part in parts]
        weights = list(map(self.config.weight, self.config.sources))
        return join(parts, weights), np.concatenate(known, axis=1)

    def _part(self, source: str, width: int, catalog: Catalog) -> Vectors:
        if source == "words" and self.words is not None:
            return self.words.encode(catalog.texts(self.config.text))
        column = source.partition(":")[2]
        silent = source == "cooccurrence" or (column and catalog.frame[column].is_null().all())
        if silent:
            return np.zeros((len(catalog), width), np.float32)
        part = source_vectors(source, catalog, (), self.config, seed=0)
        if not part.shape[1]:
            return np.zeros((len(catalog), width), np.float32)
        if part.shape[1] != width:
            raise SpellingError(
                f"item '{catalog.ids[0]}': '{source}' gives {part.shape[1]} numbers, and gave "
                f"{width} in training: use the same model or vectors"
            )
        return part

    def choices(
        self, catalog: Catalog, usable: npt.NDArray[np.bool_]
    ) -> tuple[Labels, npt.NDArray[np.int64]]:
        """The nearest code of each level but the last, and all codes of the last by distance.

        Args:
            catalog: Items that came later.
            usable: bool [levels, codes], the codes that the model has tokens for.

        Returns:
            int64 [items, levels - 1] and int64 [items, usable codes of the last level].

        Raises:
            SpellingError: Nothing is known of an item that its codes could be made of.
            RecGenError: As in `encode`.
        """
        vectors, known = self.encode(catalog)
        silent = ~known.any(axis=1)
        if silent.any():
            raise SpellingError(
                f"item '{catalog.ids[int(silent.argmax())]}' is new, and nothing is known of it "
                f"in {', '.join(self.config.sources)}, which the codes are made of: give it "
                f"{len(self.centers)} codes"
            )
        columns = []
        for centers, able in zip(self.centers[:-1], usable[:-1], strict=True):
            codes = _distances(vectors, known, centers, able).argmin(axis=1)
            vectors = np.where(known, vectors - centers[codes], 0)
            columns.append(codes)
        last = _distances(vectors, known, self.centers[-1], usable[-1])
        order = np.argsort(last, axis=1, kind="stable")[:, : int(usable[-1].sum())]
        prefix = np.stack(columns, axis=1) if columns else np.zeros((len(order), 0), np.int64)
        return prefix, order

    def save(self, path: Path) -> None:
        """Write centers, words and settings to a safetensors file."""
        tensors: dict[str, npt.NDArray[np.generic]] = {"centers": self.centers}
        if self.words is not None:
            terms = "\n".join(self.words.terms).encode()
            tensors["words.terms"] = np.frombuffer(terms, np.uint8)
            tensors["words.idf"] = self.words.idf
            tensors["words.components"] = self.words.components
        config = self.config.model_dump(mode="json", include=set(ItemVectorConfig.model_fields))
        settings = {"config": config, "widths": self.widths}
        save_file(tensors, path, {"format": FORMAT, "settings": json.dumps(settings)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            BundleError: The file is missing, damaged or something else.
        """
        try:
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise BundleError(f"{path}: is not a {FORMAT} file; train the bundle again")
                settings = json.loads(metadata["settings"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise BundleError(f"{path}: cannot be read as an item encoder: {error}") from error
        words = None
        if "words.terms" in tensors:
            terms = tensors["words.terms"].tobytes().decode().split("\n")
            words = WordFactors(terms, tensors["words.idf"], tensors["words.components"])
        config = ItemVectorConfig.model_validate(settings["config"])
        return cls(config, tuple(settings["widths"]), tensors["centers"], words)


def _distances(
    vectors: Vectors,
    known: npt.NDArray[np.bool_],
    centers: Vectors,
    usable: npt.NDArray[np.bool_],
) -> Vectors:
    """Squared distances in the known dimensions, up to a number for each item."""
    distances = known.astype(np.float32) @ (centers**2).T - 2 * vectors @ centers.T
    return np.where(usable, distances, np.inf)
