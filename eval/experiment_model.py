"""The models of a prompt experiment: a bundle, or a base model that spells by title."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError

from eval.experiment_config import ModelConfig
from rec_gen.bundle import MANIFEST, Bundle, Manifest
from rec_gen.data.dataset import Dataset
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.runtimes import runtime_for
from rec_gen.decoding.score import Score
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.digests import text_digest, tokenizer_digests, weights_digest
from rec_gen.errors import BundleError, DataError
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


def refuse_other_data(config: ModelConfig, dataset: Dataset) -> None:
    """Say before any work that a bundle was trained on other data.

    Raises:
        BundleError: The bundle's manifest cannot be read.
        DataError: The data is not that of the bundle.
    """
    if config.bundle is None:
        return
    try:
        text = (config.bundle / MANIFEST).read_text(encoding="utf-8")
        fingerprint = Manifest.model_validate_json(text).fingerprint
    except (OSError, ValidationError) as error:
        raise BundleError(f"{config.bundle}/{MANIFEST}: is damaged") from error
    if fingerprint != dataset.fingerprint:
        raise DataError(
            f"{config.bundle}: was not trained on this version of {dataset.name}: name the data of "
            "its recipe"
        )


def load_subject(config: ModelConfig, dataset: Dataset) -> Subject:
    """Load a model; one that is not tuned runs in the smallest type that the machine multiplies.

    Raises:
        RecGenError: There is no such model, or it cannot write the catalog.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if config.bundle is not None:
        bundle = Bundle.load(config.bundle)
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
