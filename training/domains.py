"""Several catalogs that one model learns side by side, each kept by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset, Example
from rec_gen.data.prepare import load_dataset
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.domains import Domain, DomainManifest
from rec_gen.errors import ConfigError
from rec_gen.prior import Prior
from rec_gen.rating_pairs import draw
from rec_gen.spelling import Spellings
from rec_gen.tasks import MAIN
from rec_gen.templates import Template
from training.calibration import calibrate
from training.examples import Row, held_out
from training.mixture import next_items
from training.processes import main_first
from training.ranking import NDCG, RECALL, at_best_step, rank_examples, validation_examples
from training.recipe import DomainConfig, Recipe


@dataclass(frozen=True)
class Learnt:
    """A further domain as a run learns it.

    Attributes:
        config: What the recipe says of it.
        dataset: Its data.
        template: The prompt of its histories.
        held: Its validation examples; none where nothing of it is learnt.
    """

    config: DomainConfig
    dataset: Dataset
    template: Template
    held: list[Example]


def load_domains(recipe: Recipe, first: Dataset, main: Template) -> tuple[Learnt, ...]:
    """The data and the templates of a recipe's further domains.

    Raises:
        ConfigError: A domain has the name of the first one, its template is not for the next item,
            or it has nothing to choose by.
        RecGenError: The data or a template is not to be had.
    """
    found = []
    for number, config in enumerate(recipe.domains):
        if config.name == first.name:
            raise ConfigError(
                f"domains.{number}.name '{config.name}': is the name of the first domain's data "
                "set; choose another"
            )
        template = main if config.template is None else Template.load(config.template)
        for key, one in (("prompt", main), (f"domains.{number}", template)):
            if one.header["task"] != MAIN:
                raise ConfigError(
                    f"{key}.template: '{one.name}' is not for the task {MAIN}, the one that "
                    "several domains share; choose another"
                )
        dataset = main_first(partial(load_dataset, config.data))
        learnt = next(dataset.sequences(), None) is not None
        held = validation_examples(dataset, recipe.validation, recipe.seed) if learnt else []
        found.append(Learnt(config, dataset, template, held))
    return tuple(found)


def refuse_domains(bundle: Bundle, command: str) -> None:
    """Refuse a bundle of several catalogs where only one would be learnt and measured.

    Raises:
        ConfigError: It is one.
    """
    if bundle.domains:
        raise ConfigError(
            f"{command}: the bundle '{bundle.manifest.name}' knows several catalogs; begin with "
            "one alone, which Bundle.load(FOLDER).domain(NAME).save(OTHER) writes"
        )


def with_domains(
    bundle: Bundle, recipe: Recipe, domains: Sequence[Learnt], spellings: Sequence[Spellings]
) -> Bundle:
    """A bundle that knows the further domains too."""
    parts, own = {}, {}
    for domain, spelled in zip(domains, spellings, strict=True):
        name, dataset = domain.config.name, domain.dataset
        parts[name] = Domain(
            dataset.catalog,
            spelled,
            CatalogTrie.build(spelled.tokens),
            domain.template,
            Prior.fit(dataset, recipe.prior.smoothing) if recipe.prior else None,
        )
        own[name] = DomainManifest(
            prompt=recipe.prompt.model_copy(update={"template": domain.template.name}),
            template_text=domain.template.text,
            dataset=dataset.name,
            fingerprint=dataset.fingerprint,
            data=domain.config.data.model_dump(mode="json"),
        )
    manifest = bundle.manifest.model_copy(update={"domains": own})
    return replace(bundle, manifest=manifest, domains=parts)


def domain_rows(recipe: Recipe, domains: Sequence[Learnt], bundle: Bundle) -> Iterator[Row]:
    """The training rows of the further domains, each with the number of its domain."""
    for number, domain in enumerate(domains, start=1):
        part = bundle.domain(domain.config.name)
        rows = next_items(recipe, domain.dataset, part.renderer(), part.spellings)
        rng = np.random.default_rng([recipe.seed, number])
        count = max(1, round(domain.config.weight * len(rows)))
        for index in draw(len(rows), count, rng) if rows else ():
            yield {**rows[index], "domain": number}


def held_out_rows(domains: Sequence[Learnt], bundle: Bundle) -> Iterator[Row]:
    """The validation rows of the further domains, each with the number of its domain."""
    for number, domain in enumerate(domains, start=1):
        part = bundle.domain(domain.config.name)
        for row in held_out(domain.held, part.renderer(), part.spellings):
            yield {**row, "domain": number}


def rank_domains(
    first: dict[str, float], recipe: Recipe, domains: Sequence[Learnt], bundle: Bundle
) -> dict[str, float]:
    """Rank each domain that is learnt; the step is chosen by the mean over them.

    Args:
        first: What the first domain scored.
        recipe: The run.
        domains: The further domains.
        bundle: The model.

    Returns:
        The means, and what each domain scored under names of its own.
    """
    name, validation = bundle.manifest.dataset, recipe.validation
    scored = {name: first}
    for domain in domains:
        if domain.held:
            part = bundle.domain(domain.config.name)
            scored[domain.config.name] = rank_examples(
                part, domain.held, validation.beam_width, validation.exclude_seen
            )
    own = {
        own_metric(metric, name): metrics[metric]
        for name, metrics in scored.items()
        for metric in (NDCG, RECALL)
    }
    means = {
        metric: float(np.mean([metrics[metric] for metrics in scored.values()]))
        for metric in (NDCG, RECALL)
    }
    return {**first, **means, **own}


def own_metric(metric: str, domain: str) -> str:
    """The name under which a domain's own metric is logged."""
    return f"{metric} of {domain}"


def finished(
    bundle: Bundle, recipe: Recipe, domains: Sequence[Learnt], logs: Sequence[dict[str, Any]]
) -> dict[str, DomainManifest]:
    """What the manifest says of the further domains once the model is trained.

    Args:
        bundle: The finished model.
        recipe: The run.
        domains: The further domains.
        logs: Of its trainer.
    """
    said = {}
    for domain in domains:
        name = domain.config.name
        own = bundle.manifest.domains[name]
        if domain.held:
            calibration, errors = calibrate(bundle.domain(name), domain.held, recipe.validation)
            ranked = {m: at_best_step(logs, own_metric(m, name)) for m in (NDCG, RECALL)}
            update = {"metrics": {**ranked, **errors}, "calibration": calibration}
            own = own.model_copy(update=update)
        said[name] = own
    return said
