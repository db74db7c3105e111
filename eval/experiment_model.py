"""The models of a prompt experiment: a bundle, or a base model that spells by title."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import torch

from eval.experiment_config import ModelConfig
from eval.leaks import LeakCheck, check_leaks, join_checks
from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.runtimes import runtime_for
from rec_gen.decoding.score import Score
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.digests import text_digest, tokenizer_digests, weights_digest
from rec_gen.errors import DataError
from rec_gen.models import load_model, load_tokenizer, native_dtype
from rec_gen.spelling import Spellings, spell

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Subject:
    """A model with what it reads and writes.

    Attributes:
        tokenizer: Its tokenizer.
        spellings: How it writes the catalog.
        trie: The spellings, on the model's device.
        runtime: The model.
        score: The score that it is searched by unless another is asked for.
        digest: A digest of its weights and its tokenizer, or of its bundle.
    """

    tokenizer: "PreTrainedTokenizerBase"
    spellings: Spellings
    trie: CatalogTrie
    runtime: Runtime
    score: Score
    digest: str

    @property
    def spelling_digest(self) -> str:
        """A digest of how each item is written."""
        digest = blake2b(digest_size=16)
        for tokens in self.spellings.tokens:
            digest.update(f"{len(tokens)} ".encode() + tokens.tobytes())
        return digest.hexdigest()


def check_models(
    models: Sequence[ModelConfig], dataset: Dataset, allowed: Collection[str]
) -> list[LeakCheck]:
    """Run the checks for leaks with every model; a base model has no bundle that they could read.

    Raises:
        ConfigError: A check that is allowed to fail does not exist.
        DataError: A check failed, or a bundle spells another catalog.
        RecGenError: A bundle cannot be loaded.
    """
    return join_checks(
        {
            model.name: check_leaks(dataset, _bundle(model, dataset, weights=False), allowed)
            for model in models
        }
    )


def _bundle(config: ModelConfig, dataset: Dataset, *, weights: bool = True) -> Bundle | None:
    if config.bundle is None:
        return None
    bundle = Bundle.load(config.bundle, weights=weights)
    if bundle.catalog.ids != dataset.catalog.ids:
        raise DataError(
            f"{config.bundle}: spells another catalog than that of {dataset.name}: name the "
            "data of its recipe"
        )
    return bundle


def load_subject(config: ModelConfig, dataset: Dataset) -> Subject:
    """Load a model; one that is not tuned runs in the smallest type that the machine multiplies.

    Raises:
        RecGenError: There is no such model, or it cannot write the catalog.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bundle = _bundle(config, dataset)
    if bundle is not None:
        bundle.model.to(device)
        runtime = runtime_for(bundle.model)
        trie = bundle.trie.to(runtime.device)
        score, digest = bundle.manifest.score, bundle.manifest.digest
        return Subject(bundle.tokenizer, bundle.spellings, trie, runtime, score, digest)
    base = str(config.base)
    tokenizer = load_tokenizer(base)
    spellings = spell(dataset.catalog, "title", tokenizer)
    model = load_model(base, native_dtype()).eval().to(device)
    runtime = runtime_for(model)
    trie = CatalogTrie.build(spellings.tokens).to(runtime.device)
    digest = text_digest(f"{weights_digest(model)} {sorted(tokenizer_digests(tokenizer).items())}")
    return Subject(tokenizer, spellings, trie, runtime, "lm", digest)
