"""How much memory a search takes: `python -m eval.benchmarks.memory --json FILE`.

SmolLM2-135M in bf16 recommends MovieLens-100K titles to 32 users with 1 and with 50 beams; beside
it the prompts' keys and values in a cache with a copy for every beam, as transformers' `generate`
holds it, and one token read on each. Each runs in a process of its own; its peak is that of the
resident set above what was resident once the model was loaded (Linux).
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import click
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers import DynamicCache

from eval.benchmarks.contest import Contest
from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.search import search
from rec_gen.decoding.transformers_runtime import TransformersRuntime
from rec_gen.files import write_text
from rec_gen.versions import machine

K, BEAMS = 10, 50
CONTESTANTS = ("beam_1", "beam_50", "unshared")


def answer(contest: Contest, beam_width: int) -> None:
    """Search with full-vocabulary scores, which read more than the others."""
    leaves = EligibleLeaves(LeafFilter(contest.trie), contest.seen)
    runtime = TransformersRuntime(contest.model)
    k = min(K, beam_width)
    search(runtime, contest.prompts, contest.trie, leaves, k, beam_width, "lm")


@torch.inference_mode()
def copy_for_each_beam(contest: Contest, beams: int) -> None:
    """Read the prompts once, copy the cache for every beam and read one token on each."""
    ids = torch.zeros(len(contest.prompts), _longest(contest), dtype=torch.int64)
    for row, prompt in zip(ids, contest.prompts, strict=True):
        row[: len(prompt)] = torch.tensor(prompt)
    cache = DynamicCache(config=contest.model.config)
    contest.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(beams)
    step = ids[:, :1].repeat_interleave(beams, 0)
    contest.model(input_ids=step, past_key_values=cache, use_cache=True)


def kv_mb(contest: Contest) -> float:
    """The keys and values of all prompts, padded, once: computed from the configuration."""
    config = contest.model.config
    width = config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    cells = len(contest.prompts) * _longest(contest)
    return float(2 * width * contest.model.dtype.itemsize * cells / 1e6)


def _longest(contest: Contest) -> int:
    return max(map(len, contest.prompts))


def measure(name: str, users: int, limit_gb: float) -> dict[str, float]:
    """Run one contestant in this process.

    Returns:
        Its peak in MB, the prompts' keys and values in MB, and the beams of the unshared cache.
    """
    contest = Contest(users)
    beams = min(BEAMS, int(1e3 * limit_gb / kv_mb(contest)) - 1)
    Path("/proc/self/clear_refs").write_text("5")  # makes the peak what is resident now
    before = _status_mb("VmRSS")
    if name == "unshared":
        copy_for_each_beam(contest, beams)
    else:
        answer(contest, int(name.removeprefix("beam_")))
    return {"peak_mb": _status_mb("VmHWM") - before, "kv_mb": kv_mb(contest), "beams": beams}


def _status_mb(field: str) -> float:
    """A size of this process that the kernel reports in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def _in_own_process(name: str, users: int, limit_gb: float) -> dict[str, float]:
    options = ["--only", name, "--users", str(users), "--limit-gb", str(limit_gb)]
    command = [sys.executable, "-m", "eval.benchmarks.memory", *options]
    child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
    return result


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--users", default=32, show_default=True, help="Requests of the search.")
@click.option("--rounds", default=3, show_default=True, help="Processes of each contestant.")
@click.option("--limit-gb", default=20.0, show_default=True, help="Most memory for the copies.")
@click.option("--only", type=click.Choice(CONTESTANTS), help="Run one contestant here, once.")
def main(
    json_path: Path | None, users: int, rounds: int, limit_gb: float, only: str | None
) -> None:
    """Measure the peak memory of one search."""
    if only:
        click.echo(json.dumps(measure(only, users, limit_gb)))
        return
    turns = [name for _ in range(rounds) for name in CONTESTANTS]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    for name in track(turns, "processes", console=Console(stderr=True)):
        runs[name].append(_in_own_process(name, users, limit_gb))
    peaks = {name: median(run["peak_mb"] for run in found) for name, found in runs.items()}
    shared, beams = (runs["unshared"][0][key] for key in ("kv_mb", "beams"))
    figures = {
        **{f"peak_mb_{name}": round(peak, 1) for name, peak in peaks.items()},
        "beam_50_over_beam_1": round(peaks["beam_50"] / peaks["beam_1"], 4),
        "unshared_over_beam_50": round(peaks["unshared"] / peaks["beam_50"], 4),
        "unshared_beams": beams,
        "shared_kv_mb": round(shared, 1),
        "unshared_kv_mb": round(shared * BEAMS, 1),
        "users": users,
    }
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    Console().print(table)
    if json_path:
        write_text(json_path, json.dumps({"figures": figures} | machine(), indent=2) + "\n")


if __name__ == "__main__":
    main()
