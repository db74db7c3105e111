"""A bundle: the folder that holds everything a recommendation needs."""

import difflib
import json
import math
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from rec_gen.calibration import Calibration
from rec_gen.catalog import Catalog
from rec_gen.code_statistics import CodeStatistics
from rec_gen.config import Config
from rec_gen.decoding.score import Score
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.digests import text_digest, tokenizer_digests, weights_digest
from rec_gen.errors import BundleError, DataError, DecodingError, MissingPackageError, ModelError
from rec_gen.federation import Federation
from rec_gen.files import file_sha256, new_folder
from rec_gen.models import (
    Dtype,
    Quantization,
    empty_model,
    load_model,
    load_quantized,
    load_tokenizer,
)
from rec_gen.prior import Prior
from rec_gen.prompting import PromptConfig, PromptRenderer
from rec_gen.spelling import Scheme, Spellings
from rec_gen.templates import Template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FORMAT = 1
MANIFEST, CATALOG, SPELLINGS, TRIE, TEMPLATE = (
    "manifest.json", "catalog.parquet", "spellings.parquet", "trie.safetensors", "template.jinja",
)  # fmt: skip
PRIOR, TOKENIZER, MODEL, ADAPTER = "prior.safetensors", "tokenizer", "model", "adapter"
TASKS = "tasks"


class Refinement(Config):
    """A stage of training after the first.

    Attributes:
        parent: The digest of the manifest of the bundle that it began with.
        settings: The method and its options.
        before: What that bundle scored on the validation split.
        best_step: The step that is kept.
    """

    parent: str
    settings: dict[str, Any]
    before: dict[str, float]
    best_step: int


class Compression(Config):
    """What made a finished model smaller.

    Attributes:
        parent: The digest of the manifest of the bundle that it began with.
        settings: The options.
        before: What that bundle scored on the validation split.
        dropped: The layers that were dropped, numbered as in the parent from 0.
        angle: How far these layers turned the state, from 0 to 1; None where none was dropped.
        unhealed: What the model scored with its layers dropped and not healed yet.
        best_step: The step of the healing that is kept; 0 where none was or none ranked better.
    """

    parent: str
    settings: dict[str, Any]
    before: dict[str, float]
    dropped: tuple[int, ...] = ()
    angle: float | None = None
    unhealed: dict[str, float] = Field(default_factory=dict)
    best_step: int = 0


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
        minutes: What training took from its data to the calibration, over resumed runs; None in a
            bundle that was trained before this was noted.
        calibration: How each kind of score becomes a probability; empty in a bundle that was
            trained before there was one, or whose data had nothing to fit it on.
        recipe: The whole recipe.
        refinements: The stages that followed the recipe, the last of which scored `metrics`.
        compressions: What made the model smaller afterwards, the last of which scored `metrics`.
        federation: How clients trained it; None where the data was in one place.
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
    federation: Federation | None = None
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
            "federation": self.federation is not None,
            "minutes": self.minutes is not None,
            "semantic_ids": self.semantic_ids is not None,
            "task_templates": self.task_templates != {},
        }
        absent = {field for field, says in later.items() if not says}
        text = self.model_dump_json(exclude={"digest", *absent})
        return self.model_copy(update={"digest": text_digest(text)})


@dataclass(frozen=True)
class Bundle:
    """A model with all that fixes what it reads and writes.

    Attributes:
        manifest: What the bundle says of itself.
        catalog: The items.
        spellings: How they are written.
        trie: The spellings, as the search walks them.
        template: The prompt that the model was trained on.
        tokenizer: The tokenizer with its added tokens.
        model: The model; a PEFT model when only an adapter was trained.
        prior: What counting says beside the model, where the recipe asked for it.
        tasks: The templates of the further tasks that the model learnt.
    """

    manifest: Manifest
    catalog: Catalog
    spellings: Spellings
    trie: CatalogTrie
    template: Template
    tokenizer: "PreTrainedTokenizerBase"
    model: "PreTrainedModel"
    prior: Prior | None = None
    tasks: tuple[Template, ...] = ()

    def task_template(self, task: str) -> Template:
        """The template of a further task, the first of the recipe's where there are several.

        Raises:
            BundleError: The model did not learn the task.
        """
        for template in self.tasks:
            if template.header["task"] == task:
                return template
        raise BundleError(
            f"the bundle '{self.manifest.name}' did not learn the task '{task}': train it with a "
            f'template of this task under [[tasks]] in its recipe, such as template = "{task}"'
        )

    def prior_for(self, weight: float) -> Prior | None:
        """The prior where it has a weight.

        Raises:
            BundleError: There is none.
            DecodingError: The weight is no number of at least 0.
        """
        if not (math.isfinite(weight) and weight >= 0):
            raise DecodingError(f"prior_weight is {weight}: give a number of at least 0")
        if weight and self.prior is None:
            raise BundleError(
                f"the bundle '{self.manifest.name}' holds no prior: train it with a [prior] "
                "table in its recipe, or leave prior_weight at 0"
            )
        return self.prior if weight else None

    def renderer(self) -> PromptRenderer:
        """The renderer that makes the prompts of training."""
        return PromptRenderer(
            self.template, self.catalog, self.spellings, self.tokenizer, self.manifest.prompt
        )

    def save(self, path: Path) -> None:
        """Write the bundle; a bundle that is already there is replaced once all is written."""
        with new_folder(path) as folder:
            self.catalog.save(folder / CATALOG)
            self.spellings.save(folder / SPELLINGS, self.catalog)
            self.trie.save(folder / TRIE)
            (folder / TEMPLATE).write_text(self.template.text, encoding="utf-8")
            for template in self.tasks:
                (folder / TASKS).mkdir(exist_ok=True)
                (folder / _task_file(template.name)).write_text(template.text, encoding="utf-8")
            self.tokenizer.save_pretrained(folder / TOKENIZER)
            if self.prior is not None:
                self.prior.save(folder / PRIOR)
            if self.manifest.base is None:
                # a model that was read quantised cannot be turned back into another format
                self.model.save_pretrained(
                    folder / MODEL, save_original_format=not self.manifest.quantized
                )
            else:
                for adapter in self.model.peft_config.values():
                    adapter.base_model_name_or_path = self.manifest.base
                self.model.save_pretrained(folder / ADAPTER, save_embedding_layers=False)
                (folder / ADAPTER / "README.md").unlink(missing_ok=True)
            files = {name: file_sha256(folder / name) for name in _files(folder)}
            manifest = self.manifest.model_copy(update={"files": files}).seal()
            (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: Path, template: str | None = None, *, weights: bool = True) -> "Bundle":
        """Read a bundle and check that it is what was trained.

        Args:
            path: The bundle's folder.
            template: A template that the caller means to use; it must be the bundle's own.
            weights: Whether to load the model. Without, it stands on torch's meta device and
                computes nothing, for a runtime that holds the weights itself; those of an
                adapter's base are then not compared with the ones of training.

        Raises:
            BundleError: A file is missing or was changed, or the template is another one.
        """
        manifest = read_manifest(path)
        if template is not None:
            _refuse_other_template(path, manifest, Template.load(template).text)
        _refuse_changes(path, manifest)
        catalog = Catalog.load(path / CATALOG)
        tokenizer = load_tokenizer(str(path / TOKENIZER))
        return cls(
            manifest,
            catalog,
            Spellings.load(path / SPELLINGS, manifest.scheme, catalog),
            CatalogTrie.load(path / TRIE),
            Template.parse(manifest.prompt.template, manifest.template_text),
            tokenizer,
            _load_model(path, manifest, len(tokenizer)) if weights else _empty(path, manifest),
            Prior.load(path / PRIOR, len(catalog)) if PRIOR in manifest.files else None,
            tuple(starmap(Template.parse, manifest.task_templates.items())),
        )


def _task_file(name: str) -> str:
    return f"{TASKS}/{name}.jinja"


def _files(folder: Path) -> list[str]:
    files = (file for file in folder.rglob("*") if file.is_file() or file.is_symlink())
    names = (file.relative_to(folder).as_posix() for file in files)
    return sorted(name for name in names if name != MANIFEST)


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


def _refuse_changes(path: Path, manifest: Manifest) -> None:
    present = _files(path)
    for name in sorted({*manifest.files, *present}):
        if name not in present:
            raise BundleError(f"{path}: {name} is missing")
        if name not in manifest.files or (path / name).is_symlink():
            raise BundleError(f"{path}: {name} does not belong to the bundle")
    for name, expected in manifest.files.items():
        if file_sha256(path / name) != expected:
            try:
                _refuse_change(path, name, manifest)
            except (DataError, ModelError, OSError, ValueError) as error:
                raise BundleError(f"{path}: {name} is damaged: restore it") from error


def _refuse_change(path: Path, name: str, manifest: Manifest) -> None:
    if name == TEMPLATE:
        _refuse_other_template(path, manifest, (path / name).read_text(encoding="utf-8"))
    for task, trained in manifest.task_templates.items():
        if name == _task_file(task):
            lines = _changed_lines(trained, (path / name).read_text(encoding="utf-8"))
            raise BundleError(f"{path}: {name} was changed after training: {lines}")
    if name == CATALOG:
        Spellings.load(path / SPELLINGS, manifest.scheme, Catalog.load(path / CATALOG))
    detail = ""
    if name.startswith(TOKENIZER):
        present = tokenizer_digests(load_tokenizer(str(path / TOKENIZER)))
        changed = [part for part, digest in present.items() if digest != manifest.tokenizer[part]]
        detail = f" ({', '.join(changed)})" if changed else ""
    raise BundleError(
        f"{path}: {name} was changed after training{detail}: restore it, or train again"
    )


def _refuse_other_template(path: Path, manifest: Manifest, text: str) -> None:
    if text == manifest.template_text:
        return
    changed = _changed_lines(manifest.template_text, text)
    raise BundleError(
        f"{path}: was trained on another template '{manifest.prompt.template}': {changed}"
    )


def _changed_lines(trained: str, present: str) -> str:
    lines = difflib.ndiff(trained.splitlines(), present.splitlines())
    return "; ".join(line for line in lines if line[:1] in "+-")


def _load_model(path: Path, manifest: Manifest, tokens: int) -> "PreTrainedModel":
    if manifest.quantized:
        return load_quantized(path / MODEL, manifest.dtype).eval()
    if manifest.base is None:
        return load_model(str(path / MODEL), manifest.dtype).eval()
    try:
        from peft import PeftModel
    except ImportError as error:
        raise MissingPackageError("peft", "serve") from error
    base = load_model(manifest.base, manifest.dtype, manifest.quantization)
    if weights_digest(base) != manifest.base_digest:
        raise BundleError(
            f"{path}: the base model '{manifest.base}' has other weights than in training: "
            "install the one that was used"
        )
    fit_vocabulary(base, tokens)
    return PeftModel.from_pretrained(base, path / ADAPTER).eval()


def _empty(path: Path, manifest: Manifest) -> "PreTrainedModel":
    return empty_model(manifest.base or str(path / MODEL), manifest.dtype)


def fit_vocabulary(model: "PreTrainedModel", tokens: int) -> None:
    """Give a base model room for the tokens that were added to its tokenizer."""
    if tokens > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(tokens)
