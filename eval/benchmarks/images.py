"""Images in prompts, by counts: `python -m eval.benchmarks.images --json FILE`.

Small models with random weights, drawn images, random histories: what holds of the answers, how far
the search is from transformers' own forward pass and from vLLM, and what an image costs. Then one
training on data that only images tell of. No real images and no pretrained model take part, so
nothing is said of the quality of recommendations.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from eval.benchmarks.images_cost import cost
from eval.benchmarks.images_learnt import learnt
from eval.benchmarks.images_mechanics import mechanics, vllm_agreement
from eval.benchmarks.images_scene import make_scene
from eval.benchmarks.vllm_settings import share_the_cpu
from rec_gen.cli.common import Command
from rec_gen.files import write_text
from rec_gen.images import IMAGE_MODELS
from rec_gen.versions import machine

SEED = 0
SHARES = ("invalid_answers", "scores_changed", "lists_changed", "others_changed")


def share(count: float, of: float) -> dict[str, float]:
    """A share with its exact 95 % interval (Clopper and Pearson, 1934)."""
    from scipy.stats import binomtest

    tested = binomtest(int(count), int(of))
    low, high = tested.proportion_ci(method="exact")
    return {"mean": count / of, "low": float(low), "high": float(high)}


def trained(folder: Path, users: int, steps: int) -> tuple[dict[str, float], dict[str, Any]]:
    """NDCG@10 on the test split with and without images that tell anything; and its intervals."""
    reports = learnt(folder, users, steps, SEED)
    systems = {
        **{arm: report["systems"]["model"] for arm, report in reports.items()},
        "markov": reports["own_images"]["systems"]["Markov + KNN"],
    }
    ndcg = {f"learnt_ndcg10_{name}": found["ndcg@10"] for name, found in systems.items()}
    data = {f"data_{arm}": report["fingerprint"] for arm, report in reports.items()}
    return {name: found["mean"] for name, found in ndcg.items()}, ndcg | data


def measure(
    items: int, requests: int, vllm_requests: int, users: int, steps: int, rounds: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """All figures, and intervals of those that are shares or means."""
    figures: dict[str, float] = {}
    details: dict[str, Any] = {}
    with TemporaryDirectory() as temporary:
        folders = [Path(temporary) / name for name in ("images", "vllm", "learnt")]
        for folder in folders:
            folder.mkdir()
        scene = make_scene(folders[0], items, requests, SEED)
        for kind in IMAGE_MODELS:
            found = mechanics(kind, scene, SEED)
            figures |= {f"{kind}_{name}": value for name, value in found.items()}
            details |= {
                f"{kind}_{name}": share(found[name], requests) for name in SHARES if name in found
            }
        if rounds:
            figures |= cost(scene.folder, "0.png", rounds)
        if vllm_requests:
            share_the_cpu()
            few = make_scene(folders[0], items, vllm_requests, SEED)
            figures |= vllm_agreement(few, folders[1], SEED)
        if steps:
            more, intervals = trained(folders[2], users, steps)
            figures |= more
            details |= intervals
    return {name: float(f"{value:.4g}") for name, value in figures.items()}, details


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--items", default=60, show_default=True, help="Items with an image each.")
@click.option("--requests", default=300, show_default=True, help="Requests of each architecture.")
@click.option("--vllm-requests", default=60, show_default=True, help="0 leaves vLLM out.")
@click.option("--users", default=400, show_default=True, help="Users of the training.")
@click.option("--steps", default=800, show_default=True, help="0 leaves the training out.")
@click.option("--rounds", default=5, show_default=True, help="0 leaves the cost out.")
def main(json_path: Path | None, **sizes: int) -> None:
    """Count what holds of answers to prompts with images."""
    figures, details = measure(**sizes)
    table = Table("figure", "value", "95 % interval")
    for name, value in figures.items():
        found = details.get(name)
        ends = f"{found['low']:.4f} - {found['high']:.4f}" if isinstance(found, dict) else ""
        table.add_row(name, f"{value:g}", ends)
    Console(width=100).print(table)
    if json_path:
        record = {"figures": figures, "details": details, "sizes": sizes, "seed": SEED} | machine()
        write_text(json_path, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
