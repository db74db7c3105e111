"""A catalog that a model knows, in the files of its own that a bundle keeps of it."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from rec_gen.calibration import Calibration
from rec_gen.catalog import Catalog
from rec_gen.config import Config
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import BundleError
from rec_gen.prior import Prior
from rec_gen.prompting import PromptConfig
from rec_gen.spelling import Scheme, Spellings
from rec_gen.templates import Template

CATALOG, SPELLINGS, TRIE, TEMPLATE, PRIOR = (
    "catalog.parquet", "spellings.parquet", "trie.safetensors", "template.jinja",
    "prior.safetensors",
)  # fmt: skip


def check_domain(name: str, domains: Collection[str]) -> None:
    """Refuse a name that no domain has.

    Args:
        name: The name.
        domains: The domains that there are, the first one first.

    Raises:
        BundleError: There is no such domain.
    """
    if name not in domains:
        known = ", ".join(domains)
        raise BundleError(f"domain '{name}': the bundle knows {known}; name one of these")


class DomainManifest(Config):
    """What a bundle says of a further catalog, where that differs from its first one.

    Attributes:
        prompt: How its histories were rendered in training.
        template_text: The template that they were rendered with.
        dataset: Its data set's name.
        fingerprint: Its data set's fingerprint.
        metrics: What the best step scored on its validation split; empty where nothing was learnt
            of it.
        calibration: How each kind of score becomes a probability; empty where nothing was learnt.
        data: What its data set is made of, as the recipe says.
    """

    prompt: PromptConfig
    template_text: str
    dataset: str
    fingerprint: str
    metrics: dict[str, float] = Field(default_factory=dict)
    calibration: dict[str, Calibration] = Field(default_factory=dict)
    data: dict[str, Any]

    def changes(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """The fields by which the manifest of this catalog as a bundle differs from the first's.

        Args:
            recipe: The recipe of the whole bundle.
        """
        own = {name: getattr(self, name) for name in type(self).model_fields if name != "data"}
        without: dict[str, Any] = {"domains": {}, "task_templates": {}, "semantic_ids": None}
        kept = {key: value for key, value in recipe.items() if key not in ("domains", "tasks")}
        return {**own, **without, "recipe": {**kept, "data": self.data}}


@dataclass(frozen=True)
class Domain:
    """A catalog, how it is written and asked for, and what is counted of it.

    Attributes:
        catalog: The items.
        spellings: How they are written.
        trie: The spellings, as the search walks them.
        template: The prompt of its histories.
        prior: What counting says of it, where the recipe asked for that.
    """

    catalog: Catalog
    spellings: Spellings
    trie: CatalogTrie
    template: Template
    prior: Prior | None = None

    def save(self, folder: Path) -> None:
        """Write its files; the folder is made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self.catalog.save(folder / CATALOG)
        self.spellings.save(folder / SPELLINGS, self.catalog)
        self.trie.save(folder / TRIE)
        (folder / TEMPLATE).write_text(self.template.text, encoding="utf-8")
        if self.prior is not None:
            self.prior.save(folder / PRIOR)

    @classmethod
    def load(cls, folder: Path, template: str, text: str, scheme: Scheme) -> "Domain":
        """Read what `save` wrote.

        Args:
            folder: Where it lies.
            template: The template's name.
            text: Its text, as the manifest has it.
            scheme: How the items are written.

        Raises:
            BundleError: A file is damaged, or the catalog is not the one that was spelled.
        """
        catalog = Catalog.load(folder / CATALOG)
        counted = (folder / PRIOR).is_file()
        return cls(
            catalog,
            Spellings.load(folder / SPELLINGS, scheme, catalog),
            CatalogTrie.load(folder / TRIE),
            Template.parse(template, text),
            Prior.load(folder / PRIOR, len(catalog)) if counted else None,
        )
