"""Supervised fine-tuning with TRL: from a recipe to a bundle, resumable at any step."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset as Rows
from datasets import disable_progress_bars
from rich.console import Console
from torch.utils.tensorboard import SummaryWriter
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback
from transformers.integrations import TensorBoardCallback
from trl import SFTConfig

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset, Example
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.digests import tokenizer_digests
from rec_gen.manifest import Manifest
from rec_gen.models import Dtype
from rec_gen.prior import Prior
from rec_gen.templates import Template
from rec_gen.versions import installed_versions
from training.arguments import on_one_device, shared_arguments
from training.calibration import calibrate
from training.catalog_loss import CatalogLoss
from training.composition import fold
from training.domains import (
    Learnt,
    domain_rows,
    finished,
    held_out_rows,
    load_domains,
    own_metric,
    rank_domains,
    with_domains,
)
from training.examples import Row, held_out
from training.memory import explain_out_of_memory, keep_freed_memory
from training.mixture import identify_data, task_templates, training_rows
from training.order import OrderCallback
from training.privacy import PRIVATE_ARGUMENTS, plan, refuse_uncounted
from training.processes import count, from_main, is_main, join, shards_states
from training.progress import ProgressCallback
from training.ranking import NDCG, RECALL, at_best_step, validate, validation_examples
from training.rating import AUC, COUNTED, PAIRS, HeldOutRatings, held_out_ratings
from training.recipe import Recipe
from training.run_folder import (
    BUNDLE,
    CHECKPOINTS,
    LOGS,
    begin_run,
    refuse_other_files,
    refuse_other_run,
    resumable_checkpoint,
)
from training.setup import Materials, prepare_materials, weights_type
from training.stopping import LastStepCallback
from training.tracking import require_trackers, tracking
from training.trainer import RankingTrainer
from training.union import unite


def train(recipe: Recipe, dataset: Dataset, folder: Path, *, restart: bool = False) -> Path:
    """Fine-tune a model, going on from the last checkpoint of the same recipe if there is one.

    All processes that `accelerate launch` started train it together; the main one writes.

    Args:
        recipe: The run.
        dataset: The prepared data that the recipe names.
        folder: The run's folder; it receives `bundle`, `checkpoints` and TensorBoard `logs`.
        restart: Begin anew although the folder holds a run.

    Returns:
        The bundle's folder.

    Raises:
        ConfigError: The folder holds a run of another recipe, data set or template.
        RecGenError: A model, a package, a template or a spelling is not to be had.
    """
    require_trackers(recipe.track)
    join(weights_type(recipe.model))
    if recipe.privacy:
        refuse_uncounted(recipe)
    template = Template.load(recipe.prompt.template)
    tasks = task_templates(recipe, template)
    domains = load_domains(recipe, dataset, template)
    identity = _identity(recipe, dataset, template, tasks, domains)
    refuse_other_files(folder)
    if not restart:
        refuse_other_run(identity, folder)
        if (folder / BUNDLE).exists():
            return folder / BUNDLE
    began = time.monotonic()
    held = validation_examples(dataset, recipe.validation, recipe.seed)
    ratings = held_out_ratings(recipe, dataset, held, tasks)
    bundle, materials = _begun(recipe, dataset, template, tasks, domains)
    if materials.code_statistics and is_main():
        Console(stderr=True).print(str(materials.code_statistics), soft_wrap=True, highlight=False)
    checkpoint = from_main(lambda: _begin(identity, folder, restart=restart))
    new_tokens = materials.new_tokens
    trainer = sft_trainer(recipe, dataset, bundle, folder, held, new_tokens, ratings, domains)
    keep_freed_memory()
    preparing = time.monotonic() - began
    with explain_out_of_memory(recipe.train.batch_size), tracking(recipe.track):
        trainer.train(resume_from_checkpoint=checkpoint)
    bundle.model.eval()
    fold(bundle.model)
    update: dict[str, Any] = {"minutes": (preparing + _seconds(trainer)) / 60}
    if recipe.privacy:
        update["privacy"] = trainer.spent()
    else:
        update |= _validated(recipe, dataset.name, bundle, held, trainer, ratings, domains)
    manifest = bundle.manifest.model_copy(update=update)
    from_main(lambda: replace(bundle, manifest=manifest).save(folder / BUNDLE))
    return folder / BUNDLE


def _validated(
    recipe: Recipe,
    name: str,
    bundle: Bundle,
    held: list[Example],
    trainer: RankingTrainer,
    ratings: HeldOutRatings | None,
    domains: tuple[Learnt, ...],
) -> dict[str, Any]:
    """What a manifest says of the validation interactions."""
    names = (NDCG, RECALL, "loss", *((AUC, COUNTED, PAIRS) if ratings else ()))
    logs = trainer.state.log_history
    best = {metric: at_best_step(logs, metric) for metric in names}
    calibration, errors = calibrate(bundle, held, recipe.validation)
    said = finished(bundle, recipe, domains, logs)
    for metric in (NDCG, RECALL) if domains else ():
        best[metric] = at_best_step(logs, own_metric(metric, name))
    return {"metrics": {**best, **errors}, "calibration": calibration, "domains": said}


def _begun(
    recipe: Recipe,
    dataset: Dataset,
    template: Template,
    tasks: tuple[Template, ...],
    domains: tuple[Learnt, ...],
) -> tuple[Bundle, Materials]:
    """The model as it is before training, with what it reads."""
    if not domains:
        materials = prepare_materials(recipe, dataset, template, tasks)
        return untrained_bundle(recipe, dataset, template, materials, tasks), materials
    names = [dataset.name, *(domain.config.name for domain in domains)]
    datasets = [dataset, *(domain.dataset for domain in domains)]
    union = unite(datasets, names, recipe.spelling.text)
    materials = prepare_materials(
        recipe, union.dataset, template, [domain.template for domain in domains]
    )
    first, *others = union.spellings(
        materials.spellings, [each.catalog for each in datasets], materials.tokenizer
    )
    bundle = untrained_bundle(recipe, dataset, template, replace(materials, spellings=first))
    return with_domains(bundle, recipe, domains, others), materials


def _identity(
    recipe: Recipe,
    dataset: Dataset,
    template: Template,
    tasks: tuple[Template, ...],
    domains: tuple[Learnt, ...],
) -> dict[str, Any]:
    """What makes two runs the same; how long one may take and who is told of it do not."""
    several: dict[str, Any] = {"the number of processes": count()} if count() > 1 else {}
    if shards_states():
        several["the optimizer states"] = "sharded"
    mixed: dict[str, Any] = {}
    if tasks:
        mixed["tasks"] = [task.model_dump(mode="json") for task in recipe.tasks]
        mixed["the texts of the tasks' templates"] = [task.sha256 for task in tasks]
    if domains:
        mixed["domains"] = [domain.config.model_dump(mode="json") for domain in domains]
        mixed["the domains' content"] = [domain.dataset.fingerprint for domain in domains]
        mixed["the texts of the domains' templates"] = [d.template.sha256 for d in domains]
    left = {"tasks": True, "domains": True, "track": True}
    keys = recipe.model_dump(mode="json", exclude={"train": {"max_minutes"}, **left})
    if recipe.data.share == 1:
        del keys["data"]["share"]
    keys["model"]["dtype"] = weights_type(recipe.model)
    return {
        **keys,
        **identify_data(recipe, dataset),
        "the template's text": template.sha256,
        **mixed,
        **several,
    }


def _begin(identity: dict[str, Any], folder: Path, *, restart: bool) -> str | None:
    """Make the folder that of this run; the checkpoint to go on from."""
    begin_run(identity, folder, restart=restart)
    return resumable_checkpoint(folder)


def untrained_bundle(
    recipe: Recipe,
    dataset: Dataset,
    template: Template,
    materials: Materials,
    tasks: tuple[Template, ...] = (),
) -> Bundle:
    """The bundle of a recipe as training begins with it."""
    adapted = recipe.model.adapter != "none"
    manifest = Manifest(
        name=recipe.name,
        prompt=recipe.prompt,
        template_text=template.text,
        task_templates={task.name: task.text for task in tasks},
        scheme=recipe.spelling.scheme,
        score=recipe.train.score,
        base=recipe.model.base if adapted else None,
        base_digest=materials.base_digest if adapted else None,
        dtype=materials.dtype,
        quantization=recipe.model.quantization,
        tokenizer=tokenizer_digests(materials.tokenizer),
        seed=recipe.seed,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        metrics={},
        # it counts cold items, without noise
        semantic_ids=None if recipe.privacy else materials.code_statistics,
        recipe=recipe.model_dump(mode="json", exclude={"track"}),
        versions=installed_versions(),
        files={},
    )
    return Bundle(
        manifest,
        dataset.catalog,
        materials.spellings,
        CatalogTrie.build(materials.spellings.tokens),
        template,
        materials.tokenizer,
        materials.model,
        Prior.fit(dataset, recipe.prior.smoothing) if recipe.prior else None,
        tasks,
        materials.images,
        materials.encoder,
    )


def sft_trainer(
    recipe: Recipe,
    dataset: Dataset,
    bundle: Bundle,
    folder: Path,
    held: list[Example],
    new_tokens: Sequence[int],
    ratings: HeldOutRatings | None = None,
    domains: Sequence[Learnt] = (),
) -> RankingTrainer:
    """A trainer of the recipe's loss that keeps the step with the best validation ranking.

    A private run keeps its last step, since a choice by users' interactions would be one more
    answer of theirs.

    Args:
        recipe: The run.
        dataset: The prepared data.
        bundle: The model that is trained in place, with what it reads.
        folder: Where checkpoints and logs are written.
        held: The validation examples.
        new_tokens: The tokens that the spellings added, which may be blanked.
        ratings: What an AUC is taken on beside the ranking, if anything.
        domains: The further domains that are learnt beside.
    """
    renderer = bundle.renderer()
    validation = recipe.validation
    item_tokens = torch.zeros(len(bundle.tokenizer), dtype=torch.bool)
    item_tokens[list(new_tokens)] = True
    rows = training_rows(recipe, dataset, bundle)
    held_rows = list(held_out(held, renderer, bundle.spellings))
    if domains:
        rows = [{**row, "domain": 0} for row in rows] + [*domain_rows(recipe, domains, bundle)]
        held_rows = [{**row, "domain": 0} for row in held_rows] + [*held_out_rows(domains, bundle)]
    longest = recipe.prompt.max_tokens + max(map(len, bundle.spellings.tokens))

    def rank() -> dict[str, float]:
        first = validate(bundle, held, validation, ratings)
        return rank_domains(first, recipe, domains, bundle) if domains else first

    make: Callable[..., RankingTrainer] = RankingTrainer
    by_validation: list[TrainerCallback] = [EarlyStoppingCallback(validation.patience)]
    if recipe.privacy:
        budget, by_validation = plan(recipe, len(rows)), []
        from training.private_trainer import PrivateTrainer

        make = partial(PrivateTrainer, budget=budget)
    trainer = make(
        rank=rank,
        catalog_losses=_catalog_losses(recipe, bundle),
        item_tokens=item_tokens,
        item_dropout=recipe.train.item_dropout,
        adversarial=recipe.train.adversarial,
        model=bundle.model,
        args=_arguments(
            recipe,
            bundle.manifest.dtype,
            folder / CHECKPOINTS,
            max(longest, *(len(row["input_ids"]) for row in rows)),
        ),
        train_dataset=_rows(rows),
        eval_dataset=_rows(held_rows),
        processing_class=bundle.tokenizer,
        callbacks=[
            *by_validation,
            LastStepCallback(recipe.train.max_minutes),
            *([] if recipe.privacy else [OrderCallback()]),
            *_reports(folder),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _catalog_losses(recipe: Recipe, bundle: Bundle) -> list[CatalogLoss]:
    """The loss of each domain where the recipe trains by the score `catalog`."""
    if recipe.train.score != "catalog":
        return []
    return [
        CatalogLoss(
            spellings.tokens,
            recipe.train.label_smoothing,
            text_answers=any(template.task.answer for template in bundle.tasks),
            text_weight=recipe.train.text_weight,
        )
        for spellings in (bundle.spellings, *(d.spellings for d in bundle.domains.values()))
    ]


def _reports(folder: Path) -> list[TrainerCallback]:
    """What tells people of the run, once for all processes."""
    if not is_main():
        return []
    return [TensorBoardCallback(SummaryWriter(str(folder / LOGS))), ProgressCallback()]


def _rows(rows: Iterable[Row]) -> Rows:
    disable_progress_bars()
    return Rows.from_list(list(rows))


def _arguments(recipe: Recipe, dtype: Dtype, folder: Path, longest: int) -> SFTConfig:
    train = recipe.train
    arguments = SFTConfig(
        packing=train.packing,
        eval_packing=False,
        max_length=longest if train.packing else None,
        per_device_train_batch_size=train.batch_size,
        per_device_eval_batch_size=train.batch_size,
        gradient_accumulation_steps=train.accumulation,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.schedule,
        warmup_steps=train.warmup_steps,
        weight_decay=train.weight_decay,
        label_smoothing_factor=train.label_smoothing if train.score == "lm" else 0.0,
        neftune_noise_alpha=train.neftune_alpha,
        train_sampling_strategy="group_by_length" if train.group_by_length else "random",
        remove_unused_columns=False,
        include_num_input_tokens_seen="non_padding",
        gradient_checkpointing=train.gradient_checkpointing,
        **{
            **shared_arguments(
                folder,
                dtype,
                recipe.seed,
                train.max_steps,
                recipe.validation.every_steps,
                recipe.track,
            ),
            **(PRIVATE_ARGUMENTS if recipe.privacy else {}),
        },
    )
    return on_one_device(arguments)


def _seconds(trainer: RankingTrainer) -> float:
    """The time since training began; a resumed trainer holds another clock than it was given."""
    clocks = trainer.callback_handler.callbacks
    return next(clock.seconds() for clock in clocks if isinstance(clock, LastStepCallback))
