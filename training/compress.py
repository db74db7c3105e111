"""Making a finished model smaller: merge, drop layers, heal, quantise; and saying what it cost."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from rec_gen.bundle import Bundle
from rec_gen.config import Config, parse_config
from rec_gen.data.dataset import Dataset, Example
from rec_gen.errors import ConfigError
from rec_gen.files import write_text
from rec_gen.models import cast_weights, load_model, require_bitsandbytes, weight_bytes
from rec_gen.stages import Compression
from rec_gen.versions import installed_versions
from training.calibration import calibrate
from training.compress_config import CompressConfig
from training.depth import angular_distances, drop_layers, refuse_unsupported
from training.domains import refuse_domains
from training.examples import prompt_of
from training.healing import heal
from training.merging import merge_adapter
from training.mixture import identify_data
from training.privacy import refuse_private
from training.processes import refuse_several
from training.ranking import NDCG, RECALL, sample_examples, validate, validation_examples
from training.rating import AUC, COUNTED, PAIRS, held_out_ratings
from training.recipe import Recipe, ValidationConfig
from training.run_folder import (
    BUNDLE,
    REPORT,
    begin_run,
    refuse_other_files,
    refuse_other_run,
    refuse_parent_folder,
)

SUFFIX = "-compressed"
SCORES = (NDCG, RECALL, AUC, COUNTED, PAIRS)


class Report(Config):
    """What a compression did.

    Attributes:
        stage: What was done, and the validation ranking on the way.
        after: NDCG@10 and recall@10 of the smaller model, and the AUC where a task is a rating.
        bytes_before: What the weights took in memory.
        bytes_after: The same of the smaller model.
    """

    stage: Compression
    after: dict[str, float]
    bytes_before: int
    bytes_after: int

    def __str__(self) -> str:
        stage = self.stage
        lines = []
        if stage.dropped:
            layers, degrees = ", ".join(map(str, stage.dropped)), 180 * (stage.angle or 0.0)
            lines += [
                f"dropped layers {layers} (from 0), which turned states by {degrees:.0f} degrees",
                f"validation NDCG@10 with these layers dropped: {stage.unhealed[NDCG]:.4f}",
            ]
        if stage.settings["heal_steps"]:
            healed = f"the model of step {stage.best_step} is kept"
            lines.append(f"healing: {healed if stage.best_step else 'no step ranked better'}")
        before, after = stage.before[NDCG], self.after[NDCG]
        lines.append(f"validation NDCG@10: {before:.4f} before, {after:.4f} after")
        megabytes = (self.bytes_before / 1e6, self.bytes_after / 1e6)
        lines.append("weights in memory: {:.2f} MB before, {:.2f} MB after".format(*megabytes))
        return "\n".join(lines)


def compress(
    bundle: Bundle, config: CompressConfig, dataset: Dataset, folder: Path, *, restart: bool = False
) -> Report:
    """Make a bundle smaller, and write it with what that did to the validation ranking.

    An adapter is merged into its base first. The layers that turn the states of training prompts
    least are dropped, the rest is trained on for some steps, and the weights are quantised last.
    An interrupted healing goes on from its last checkpoint.

    Args:
        bundle: The model at the start, as it was loaded; an adapter is taken apart.
        config: What is done.
        dataset: The data that the bundle was trained on.
        folder: The run's folder; it receives `bundle` and `report.json`.
        restart: Begin anew although the folder holds a run.

    Raises:
        ConfigError: There is nothing to do, it cannot be done to this model, the folder holds
            another run or the bundle itself, or there are several processes.
        MissingPackageError: bitsandbytes is needed and not installed.
    """
    refuse_several("compress")
    refuse_domains(bundle, "compress")
    manifest = bundle.manifest
    refuse_private(manifest)
    _refuse_what_cannot_be(bundle, config)
    recipe = parse_config(Recipe, manifest.recipe)
    identity = {
        **config.model_dump(mode="json"),
        "the bundle at the start": manifest.digest,
        **identify_data(recipe, dataset),
    }
    refuse_parent_folder(manifest, folder)
    refuse_other_files(folder)
    if not restart:
        refuse_other_run(identity, folder)
        if (folder / REPORT).exists() and (folder / BUNDLE).exists():
            return Report.model_validate_json((folder / REPORT).read_text(encoding="utf-8"))
    held = validation_examples(dataset, recipe.validation, recipe.seed)
    ratings = held_out_ratings(recipe, dataset, held, bundle.tasks)
    begin_run(identity, folder, restart=restart)
    bytes_before = weight_bytes(bundle.model)
    bundle = _whole(bundle)
    stage = Compression(
        parent=manifest.digest,
        settings=config.model_dump(mode="json"),
        before={name: manifest.metrics[name] for name in SCORES if name in manifest.metrics},
    )
    if config.drop_layers:
        bundle, stage = _drop(bundle, stage, config, dataset)
        stage = stage.model_copy(
            update={"unhealed": validate(bundle, held, recipe.validation, ratings)}
        )
    if config.heal_steps:
        bundle, best_step = heal(bundle, config, dataset, held, folder, stage.unhealed[NDCG])
        stage = stage.model_copy(update={"best_step": best_step})
    bundle = _stored(bundle, config)
    report = Report(
        stage=stage,
        after=validate(bundle, held, recipe.validation, ratings),
        bytes_before=bytes_before,
        bytes_after=weight_bytes(bundle.model),
    )
    _save(bundle, report, held, recipe.validation, folder / BUNDLE)
    write_text(folder / REPORT, report.model_dump_json(indent=2))
    return report


def _refuse_what_cannot_be(bundle: Bundle, config: CompressConfig) -> None:
    manifest = bundle.manifest
    if manifest.quantized:
        raise ConfigError(
            f"the bundle '{manifest.name}' is quantised: compress the one it came from"
        )
    if bundle.images is not None:
        raise ConfigError(
            f"the prompts of the bundle '{manifest.name}' show images, which compress would lose: "
            "keep the bundle as it is"
        )
    rounds = config.weights == "bfloat16" and manifest.dtype == "float32"
    stored = rounds or config.weights in ("int8", "nf4")
    if manifest.base is None and not config.drop_layers and not stored:
        raise ConfigError(
            "there is nothing to do: give drop_layers or weights that take less than "
            f"{manifest.dtype}"
        )
    if config.weights in ("int8", "nf4"):
        require_bitsandbytes()
    if config.drop_layers:
        refuse_unsupported(bundle.model.config.model_type)
    depth = bundle.model.config.num_hidden_layers
    if config.drop_layers >= depth:
        raise ConfigError(f"drop_layers is {config.drop_layers}: the model has {depth} layers")


def _whole(bundle: Bundle) -> Bundle:
    """The bundle without an adapter, on the device where it is ranked."""
    manifest, model = bundle.manifest, bundle.model
    if manifest.base is not None:
        model = merge_adapter(model, manifest.dtype)
        update = {"base": None, "base_digest": None, "quantization": "none"}
        manifest = manifest.model_copy(update=update)
    if torch.cuda.is_available():
        model.to("cuda")
    return replace(bundle, manifest=manifest, model=model)


def _drop(
    bundle: Bundle, stage: Compression, config: CompressConfig, dataset: Dataset
) -> tuple[Bundle, Compression]:
    """Drop the run of layers that turns the states of training prompts least."""
    renderer, count = bundle.renderer(), config.drop_layers
    examples = [last for seq in dataset.sequences() for last in [*seq.examples()][-1:]]
    chosen = sample_examples(examples, config.histories, config.seed)
    prompts = [prompt_of(example, renderer).ids for example in chosen]
    distances = angular_distances(bundle.model, prompts, count)
    first = min(range(len(distances)), key=distances.__getitem__)
    update = {"dropped": tuple(range(first, first + count)), "angle": distances[first]}
    model = drop_layers(bundle.model, first, count)
    return replace(bundle, model=model), stage.model_copy(update=update)


def _stored(bundle: Bundle, config: CompressConfig) -> Bundle:
    """The bundle with its weights in the type that is asked for."""
    manifest, weights = bundle.manifest, config.weights
    if weights == "same":
        return bundle
    if weights == "bfloat16":
        update = {"dtype": "bfloat16"}
        model = cast_weights(bundle.model, torch.bfloat16)
    else:
        update = {"quantization": weights}
        with TemporaryDirectory() as folder:
            bundle.model.save_pretrained(folder)
            model = load_model(folder, manifest.dtype, weights).eval()
    return replace(bundle, manifest=manifest.model_copy(update=update), model=model)


def _save(
    bundle: Bundle,
    report: Report,
    held: Sequence[Example],
    validation: ValidationConfig,
    path: Path,
) -> None:
    calibration, errors = calibrate(bundle, held, validation)
    manifest = bundle.manifest
    update = {
        "name": manifest.name.removesuffix(SUFFIX) + SUFFIX,
        "metrics": {**report.after, **errors},
        "calibration": calibration,
        "compressions": (*manifest.compressions, report.stage),
        "versions": installed_versions(),
    }
    replace(bundle, manifest=manifest.model_copy(update=update)).save(path)
