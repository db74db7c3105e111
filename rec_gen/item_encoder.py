"""From an item's text and columns to the semantic codes that the clusters of training give it.

Sources that tell nothing of an item, as co-occurrence does of a new one, are left out of its
distances: the nearest cluster is that of the dimensions that are known.
"""

import json
from collections.abc import Iterator, Sequence
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
            DataError: A column is missing or holds something else.
            SpellingError: Nothing is known of an item that its codes could be made of, or its
                vectors are not as long as in training.
            RecGenError: A package or a model is not to be had.
        """
        parts = [
            self._part(source, width, catalog)
            for source, width in zip(self.config.sources, self.widths, strict=True)
        ]
        known = [np.repeat(part.any(axis=1, keepdims=True), part.shape[1], 1) for part in parts]
        whole = np.concatenate(known, axis=1)
        silent = ~whole.any(axis=1)
        if silent.any():
            raise SpellingError(
                f"item '{catalog.ids[int(silent.argmax())]}' is new, and nothing is known of it "
                f"in {', '.join(self.config.sources)}, which its codes are made of: give it "
                f"{len(self.centers)} codes"
            )
        return join(parts, list(map(self.config.weight, self.config.sources))), whole

    def _part(self, source: str, width: int, catalog: Catalog) -> Vectors:
        # one catalog of several may lack columns that another has
        text = tuple(each for each in self.config.text if each in catalog.frame.columns)
        config = self.config.model_copy(update={"text": text or self.config.text})
        if source == "words" and self.words is not None:
            return self.words.encode(catalog.texts(config.text))
        column = source.partition(":")[2]
        silent = source == "cooccurrence" or (column and catalog.frame[column].is_null().all())
        if silent:
            return np.zeros((len(catalog), width), np.float32)
        part = source_vectors(source, catalog, (), config, seed=0)
        if not part.shape[1]:
            return np.zeros((len(catalog), width), np.float32)
        if part.shape[1] != width:
            raise SpellingError(
                f"item '{catalog.ids[0]}': '{source}' gives {part.shape[1]} numbers, and gave "
                f"{width} in training: use the same model or vectors"
            )
        return part

    def nearest(
        self, vector: Vectors, known: npt.NDArray[np.bool_], usable: npt.NDArray[np.bool_]
    ) -> Iterator[tuple[int, ...]]:
        """The semantic codes of an item, nearest first: depth first, each level by its distances.

        Args:
            vector: float32 [dimensions], as `encode` gives it.
            known: bool [dimensions].
            usable: bool [levels, codes], the codes that the model has tokens for.

        Yields:
            One code a level.
        """
        yield from self._below((), np.where(known, vector, 0), known, usable)

    def _below(
        self,
        codes: tuple[int, ...],
        residual: Vectors,
        known: npt.NDArray[np.bool_],
        usable: npt.NDArray[np.bool_],
    ) -> Iterator[tuple[int, ...]]:
        level = len(codes)
        if level == len(self.centers):
            yield codes
            return
        centers = self.centers[level][:, known]
        distances = ((residual[known] - centers) ** 2).sum(axis=1)
        for code in np.argsort(distances, kind="stable").tolist():
            if usable[level, code]:
                left = residual - self.centers[level, code]
                yield from self._below((*codes, code), left, known, usable)

    def save(self, path: Path) -> None:
        """Write centers, words and settings to a safetensors file."""
        tensors: dict[str, npt.NDArray[np.generic]] = {"centers": self.centers}
        if self.words is not None:
            terms = "\n".join(self.words.terms).encode()
            tensors["words.terms"] = np.frombuffer(terms, np.uint8)
            tensors["words.idf"] = self.words.idf
            # numpy files are written as arrays lie in memory, whatever their strides
            tensors["words.components"] = np.ascontiguousarray(self.words.components)
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
