"""Refining a fine-tuned model by preferences or rewards, and keeping it only if it ranks better."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from datasets import disable_progress_bars
from torch.utils.tensorboard import SummaryWriter
from transformers import EarlyStoppingCallback, PrinterCallback, set_seed
from transformers.integrations import TensorBoardCallback

from rec_gen.bundle import Bundle
from rec_gen.config import Config, parse_config
from rec_gen.data.dataset import Dataset, Example
from rec_gen.errors import ConfigError
from rec_gen.files import write_text
from rec_gen.stages import Refinement
from rec_gen.versions import installed_versions
from training.calibration import calibrate
from training.domains import refuse_domains
from training.examples import each_target
from training.memory import keep_freed_memory
from training.mixture import identify_data
from training.privacy import refuse_private
from training.processes import refuse_several
from training.progress import ProgressCallback
from training.ranking import (
    NDCG,
    at_best_step,
    sample_examples,
    validate,
    validation_examples,
)
from training.rating import HeldOutRatings, held_out_ratings
from training.recipe import Recipe, ValidationConfig
from training.reference_adapter import complete_reference, drop_reference, unfreeze_adapter
from training.refine_config import RefineConfig
from training.refine_trainers import dpo_trainer, reward_trainer
from training.run_folder import (
    BUNDLE,
    CHECKPOINTS,
    LOGS,
    REPORT,
    begin_run,
    refuse_other_files,
    refuse_other_run,
    refuse_parent_folder,
    resumable_checkpoint,
)
from training.stopping import LastStepCallback
from training.tracking import require_trackers, tracking


class Report(Config):
    """What a refinement did to the validation ranking.

    Attributes:
        method: The method.
        best_step: The step that ranked best.
        before: NDCG@10 and recall@10 of the model at the start, and the AUC where a task is a
            rating.
        after: The same at the best step.
    """

    method: str
    best_step: int
    before: dict[str, float]
    after: dict[str, float]

    @property
    def better(self) -> bool:
        """Whether NDCG@10 rose."""
        return self.after[NDCG] > self.before[NDCG]

    def __str__(self) -> str:
        before, after = self.before[NDCG], self.after[NDCG]
        change = "raised" if after > before else "lowered" if after < before else "did not change"
        return (
            f"{self.method} {change} the validation NDCG@10: {before:.4f} before, {after:.4f} at "
            f"its best step, {self.best_step}"
        )


def refine(
    bundle: Bundle, config: RefineConfig, dataset: Dataset, folder: Path, *, restart: bool = False
) -> Report:
    """Go on training a finished model, and write it as a bundle only if it ranks better.

    The histories are those of training, the ranking is that of the bundle's recipe. An interrupted
    run goes on from its last checkpoint.

    Args:
        bundle: The model at the start, as it was loaded; it is trained in place.
        config: The method and its options.
        dataset: The data that the bundle was trained on.
        folder: The run's folder; it receives `report.json` and, if NDCG@10 rose, `bundle`.
        restart: Begin anew although the folder holds a run.

    Raises:
        ConfigError: The folder holds another run or the bundle itself, the data leaves nothing to
            learn, the weights are quantised, or there are several processes.
    """
    refuse_several("refine")
    refuse_domains(bundle, "refine")
    require_trackers(config.track)
    if bundle.manifest.quantized:
        raise ConfigError(
            f"the bundle '{bundle.manifest.name}' is quantised: refine the one it came from"
        )
    refuse_private(bundle.manifest)
    if bundle.images is not None:
        raise ConfigError(
            f"the prompts of the bundle '{bundle.manifest.name}' show images, which only "
            "recgen train can learn from: keep the bundle as it is"
        )
    recipe = parse_config(Recipe, bundle.manifest.recipe)
    identity = {
        **config.model_dump(mode="json", exclude={"track"}),
        "the bundle at the start": bundle.manifest.digest,
        **identify_data(recipe, dataset),
    }
    refuse_parent_folder(bundle.manifest, folder)
    refuse_other_files(folder)
    if not restart:
        refuse_other_run(identity, folder)
        if (folder / REPORT).exists():
            report = Report.model_validate_json((folder / REPORT).read_text(encoding="utf-8"))
            if not report.better or (folder / BUNDLE).exists():
                return report
    held = validation_examples(dataset, recipe.validation, recipe.seed)
    ratings = held_out_ratings(recipe, dataset, held, bundle.tasks)
    examples = _examples(dataset, config, exclude_seen=recipe.validation.exclude_seen)
    begin_run(identity, folder, restart=restart)
    report = _train(bundle, config, recipe.validation, held, ratings, examples, folder)
    if report.better:
        _save(bundle, config, recipe.validation, held, report, folder / BUNDLE)
    write_text(folder / REPORT, report.model_dump_json(indent=2))
    return report


def _examples(dataset: Dataset, config: RefineConfig, *, exclude_seen: bool) -> list[Example]:
    """As many training examples as the steps will read, if there are so many."""
    needed = config.draws if config.method == "grpo" else config.negatives + 1
    examples = [
        example
        for example in each_target(dataset.sequences())
        if not exclude_seen
        or (
            example.target not in example.history
            and len(dataset.catalog) - len(np.unique(example.history)) >= needed
        )
    ]
    if not examples or len(dataset.catalog) < needed:
        raise ConfigError(f"no history leaves {needed} eligible items: lower negatives or draws")
    count = config.max_steps * config.batch_size * config.accumulation
    return sample_examples(examples, count, config.seed)


def _train(
    bundle: Bundle,
    config: RefineConfig,
    validation: ValidationConfig,
    held: list[Example],
    ratings: HeldOutRatings | None,
    examples: list[Example],
    folder: Path,
) -> Report:
    """Rank, train, and leave the step that ranked best in the bundle's model."""

    def rank() -> dict[str, float]:
        return validate(bundle, held, validation, ratings)

    disable_progress_bars()
    set_seed(config.seed)
    if torch.cuda.is_available():
        bundle.model.to("cuda")
    before = rank()
    unfreeze_adapter(bundle.model)
    make = reward_trainer if config.method == "grpo" else dpo_trainer
    trainer = make(
        bundle,
        config,
        examples,
        folder / CHECKPOINTS,
        exclude_seen=validation.exclude_seen,
        callbacks=[
            TensorBoardCallback(SummaryWriter(str(folder / LOGS))),
            EarlyStoppingCallback(config.patience),
            LastStepCallback(None),
            ProgressCallback(),
        ],
    )
    complete_reference(bundle.model)
    trainer.rank = rank
    trainer.remove_callback(PrinterCallback)
    keep_freed_memory()
    with tracking(config.track):
        trainer.train(resume_from_checkpoint=resumable_checkpoint(folder))
    drop_reference(bundle.model)
    bundle.model.eval()
    return Report(
        method=config.method,
        best_step=trainer.state.best_global_step,
        before=before,
        after={name: at_best_step(trainer.state.log_history, name) for name in before},
    )


def _save(
    bundle: Bundle,
    config: RefineConfig,
    validation: ValidationConfig,
    held: list[Example],
    report: Report,
    path: Path,
) -> None:
    calibration, errors = calibrate(bundle, held, validation)
    manifest = bundle.manifest
    stage = Refinement(
        parent=manifest.digest,
        settings=config.model_dump(mode="json", exclude={"track"}),
        before=report.before,
        best_step=report.best_step,
    )
    update = {
        "name": f"{manifest.name}-{config.method}",
        "seed": config.seed,
        "metrics": {**report.after, **errors},
        "calibration": calibration,
        "refinements": (*manifest.refinements, stage),
        "versions": installed_versions(),
    }
    replace(bundle, manifest=manifest.model_copy(update=update)).save(path)
