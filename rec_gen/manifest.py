"""What a bundle says of itself."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from rec_gen.calibration import Calibration
from rec_gen.code_statistics import CodeStatistics
from rec_gen.config import Config
from rec_gen.decoding.score import Score
from rec_gen.digests import text_digest
from rec_gen.domains import DomainManifest
from rec_gen.errors import BundleError
from rec_gen.federation import Federation
from rec_gen.models import Dtype, Quantization
from rec_gen.privacy import Privacy
from rec_gen.prompting import PromptConfig
from rec_gen.spelling import Scheme
from rec_gen.stages import Compression, Refinement

FORMAT = 1
MANIFEST = "manifest.json"


class Manifest(Config):
    """What a bundle says of itself.

    Attributes:
        format: The version of this layout.
        name: The recipe's name.
        prompt: How histories were rendered in training.
        template_text: The template that the model was trained on.
        task_templates: The templates of its further tasks, by name.
        scheme: How items are spelled.
        score: The score that it was trained by, and is searched by unless another is asked for.
        base: The base model of an adapter; None when the bundle holds a whole model.
        base_digest: The digest of the base model's weights.
        dtype: The type of the weights.
        quantization: How the base model of an adapter was quantised, or the whole model.
        tokenizer: The digest of each part of the tokenizer.
        seed: The seed of the training run.
        dataset: The data set's name.
        fingerprint: The data set's fingerprint.
        metrics: What the best step scored on the validation split.
        semantic_ids: What the codes of semantic IDs are like; None for other spellings, and in a
            bundle that was trained before this was noted.
        minutes: What training took from its data to the calibration, over resumed runs, or what
            the rounds of a federated run took; None in a bundle that was trained before this was
            noted.
        calibration: How each kind of score becomes a probability; empty in a bundle that was
            trained before there was one, or whose data had nothing to fit it on.
        recipe: The whole recipe.
        refinements: The stages that followed the recipe, the last of which scored `metrics`.
        compressions: What made the model smaller afterwards, the last of which scored `metrics`.
        privacy: What it promises to the users that it was trained on; None is nothing.
        federation: How clients trained it; None where the data was in one place.
        domains: What is particular to further catalogs, by name.
        versions: Python and the packages that trained the model.
        files: The SHA-256 of every other file.
        digest: The digest of this manifest itself, without this field.
    """

    format: int = FORMAT
    name: str
    prompt: PromptConfig
    template_text: str
    task_templates: dict[str, str] = Field(default_factory=dict)
    scheme: Scheme
    score: Score = "lm"
    base: str | None
    base_digest: str | None
    dtype: Dtype
    quantization: Quantization
    tokenizer: dict[str, str]
    seed: int
    dataset: str
    fingerprint: str
    metrics: dict[str, float]
    semantic_ids: CodeStatistics | None = None
    minutes: float | None = None
    calibration: dict[str, Calibration] = Field(default_factory=dict)
    recipe: dict[str, Any]
    refinements: tuple[Refinement, ...] = ()
    compressions: tuple[Compression, ...] = ()
    privacy: Privacy | None = None
    federation: Federation | None = None
    domains: dict[str, DomainManifest] = Field(default_factory=dict)
    versions: dict[str, str]
    files: dict[str, str]
    digest: str = ""

    @property
    def quantized(self) -> bool:
        """Whether the bundle holds a whole model whose weights are quantised for good."""
        return self.base is None and self.quantization != "none"

    def seal(self) -> "Manifest":
        """The same manifest with its digest."""
        # a field that came later counts only where it says something, so that older seals hold
        later = {
            "calibration": self.calibration != {},
            "score": self.score != "lm",
            "refinements": self.refinements != (),
            "compressions": self.compressions != (),
            "privacy": self.privacy is not None,
            "federation": self.federation is not None,
            "domains": self.domains != {},
            "minutes": self.minutes is not None,
            "semantic_ids": self.semantic_ids is not None,
            "task_templates": self.task_templates != {},
        }
        absent = {field for field, says in later.items() if not says}
        without: dict[str, Any] = dict.fromkeys(("digest", *absent), True)
        if self.prompt.images is None:
            without["prompt"] = {"images"}
        text = self.model_dump_json(exclude=without)
        return self.model_copy(update={"digest": text_digest(text)})


def read_manifest(path: Path) -> Manifest:
    """Read what a bundle says of itself, without its model.

    Raises:
        BundleError: There is no bundle, or its manifest was changed.
    """
    try:
        table = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if table.get("format") != FORMAT:
            raise BundleError(
                f"{path}: has format {table.get('format')}, this version reads {FORMAT}: "
                "train it again"
            )
        manifest = Manifest.model_validate(table)
    except OSError as error:
        raise BundleError(f"{path}: is not a bundle: {MANIFEST} cannot be read") from error
    except (ValueError, ValidationError, AttributeError) as error:
        raise BundleError(f"{path}/{MANIFEST}: is damaged: train the bundle again") from error
    if manifest.seal().digest != manifest.digest:
        raise BundleError(f"{path}: {MANIFEST} was changed after training: restore it")
    return manifest
