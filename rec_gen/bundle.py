"""A bundle: the folder that holds everything a recommendation needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING

from rec_gen.catalog import Catalog
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.digests import changed_lines, tokenizer_digests, weights_digest
from rec_gen.domains import CATALOG, SPELLINGS, TEMPLATE, Domain, check_domain
from rec_gen.errors import BundleError, DataError, DecodingError, MissingPackageError, ModelError
from rec_gen.files import file_names, file_sha256, new_folder
from rec_gen.images import ImageReader
from rec_gen.item_encoder import ItemEncoder
from rec_gen.manifest import MANIFEST, Manifest, read_manifest
from rec_gen.models import (
    empty_model,
    fit_vocabulary,
    load_images,
    load_model,
    load_quantized,
    load_tokenizer,
)
from rec_gen.prior import Prior
from rec_gen.prompting import PromptRenderer
from rec_gen.spelling import Spellings
from rec_gen.templates import Template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKENIZER, MODEL, ADAPTER = "tokenizer", "model", "adapter"
ENCODER, TASKS, DOMAINS = "item_encoder.safetensors", "tasks", "domains"


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
        images: What reads the images of its prompts, where they show any.
        encoder: What gives new items their codes, where it was kept.
        domains: The model's further catalogs by name; see `domain`.
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
    images: ImageReader | None = None
    encoder: ItemEncoder | None = None
    domains: Mapping[str, Domain] = field(default_factory=dict)

    def domain(self, name: str) -> "Bundle":
        """A further catalog as a bundle like any other, on the same model and tokenizer.

        Args:
            name: The domain's name; that of the data set is the first catalog alone.

        Raises:
            BundleError: There is no such domain.
        """
        if name == self.manifest.dataset:
            manifest = self.manifest.model_copy(update={"domains": {}})
            return replace(self, manifest=manifest, domains={}) if self.domains else self
        check_domain(name, (self.manifest.dataset, *self.domains))
        part, own = self.domains[name], self.manifest.domains[name]
        folder, files = f"{DOMAINS}/{name}/", self.manifest.files
        of_its_own = {
            file.removeprefix(folder): digest
            for file, digest in files.items()
            if file.startswith(folder)
        }
        changes = own.changes(self.manifest.recipe) | {"files": files | of_its_own}
        manifest = self.manifest.model_copy(update=changes)
        return Bundle(
            manifest,
            part.catalog,
            part.spellings,
            part.trie,
            part.template,
            self.tokenizer,
            self.model,
            part.prior,
            encoder=self.encoder,
        )

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
            self.template,
            self.catalog,
            self.spellings,
            self.tokenizer,
            self.manifest.prompt,
            self.images,
        )

    def save(self, path: Path) -> None:
        """Write the bundle; a bundle that is already there is replaced once all is written."""
        with new_folder(path) as folder:
            main = Domain(self.catalog, self.spellings, self.trie, self.template, self.prior)
            main.save(folder)
            for name, domain in self.domains.items():
                domain.save(folder / DOMAINS / name)
            for template in self.tasks:
                (folder / TASKS).mkdir(exist_ok=True)
                (folder / _task_file(template.name)).write_text(template.text, encoding="utf-8")
            self.tokenizer.save_pretrained(folder / TOKENIZER)
            if self.images is not None:
                self.images.processor.save_pretrained(folder / MODEL)  # where vLLM looks for it
            if self.encoder is not None:
                self.encoder.save(folder / ENCODER)
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
            files = {name: file_sha256(folder / name) for name in file_names(folder)}
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
        template_name = manifest.prompt.template
        main = Domain.load(path, template_name, manifest.template_text, manifest.scheme)
        tokenizer = load_tokenizer(str(path / TOKENIZER))
        model = _load_model(path, manifest, len(tokenizer)) if weights else _empty(path, manifest)
        images = load_images(str(path / MODEL), manifest.prompt.images, model)
        return cls(
            manifest,
            main.catalog,
            main.spellings,
            main.trie,
            main.template,
            tokenizer,
            model,
            main.prior,
            tuple(starmap(Template.parse, manifest.task_templates.items())),
            images,
            ItemEncoder.load(path / ENCODER) if ENCODER in manifest.files else None,
            {
                name: Domain.load(
                    path / DOMAINS / name, own.prompt.template, own.template_text, manifest.scheme
                )
                for name, own in manifest.domains.items()
            },
        )


def _task_file(name: str) -> str:
    return f"{TASKS}/{name}.jinja"


def _refuse_changes(path: Path, manifest: Manifest) -> None:
    present = [name for name in file_names(path) if name != MANIFEST]
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
            lines = changed_lines(trained, (path / name).read_text(encoding="utf-8"))
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
    changed = changed_lines(manifest.template_text, text)
    raise BundleError(
        f"{path}: was trained on another template '{manifest.prompt.template}': {changed}"
    )


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
