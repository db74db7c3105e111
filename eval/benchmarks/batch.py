"""A batch job over a large synthetic catalog: `python -m eval.benchmarks.batch --json FILE`.

`recgen batch` recommends to many users of a market (`synthetic.py`), with an untrained model of a
million parameters and semantic IDs, in one process a core. Its time is compared with that of the
same model reading the same prompts in the same batches, in one process or in as many, whichever is
faster; its memory is watched, that of all its processes together. Another job over the first of
these users is killed five times and ends complete. Two workers of a Ray cluster are compared with
one; where the machine has fewer than four cores, by a model of fixed cost that waits
(`batch_waiting.py`), since Ray's own processes need some of them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.table import Table

from eval.benchmarks.batch_reading import K, Reading
from eval.benchmarks.batch_runs import (
    command,
    differing_parts,
    kill_again_and_again,
    lost_and_repeated,
    watch,
)
from eval.benchmarks.batch_workers import speedup
from eval.benchmarks.synthetic import Market
from eval.result_json import to_json
from rec_gen.files import write_text
from rec_gen.versions import machine

KILLS, CORES = 5, 4
SAMPLED, COUNTED = 6, 8
"""Parts whose prompts are read, and their batches that are also searched, to count forwards."""
SMALL = 2000
"""Items of the catalog that the workers of the cluster load."""


def whole_job(
    folder: Path, users: int, killed_users: int, part_rows: int, batch: int, workers: int
) -> dict[str, float]:
    """One job to its end, its limit, and another one that is killed on the way."""
    bundle, table, output = folder / "bundle", folder / "users.parquet", folder / "out"
    parts = -(-users // part_rows)
    workers = min(workers, parts)
    options = (*_options(batch, part_rows), "--workers", str(workers))
    run = watch(command(bundle, table, output, *options), output, parts)
    each = max(1, min(parts, SAMPLED) // workers)
    alone = _readings(bundle, table, part_rows, batch, min(parts, SAMPLED), 1)
    together = _readings(bundle, table, part_rows, batch, each, workers)
    read, pace = alone[0], max(map(_pace, (alone, together)))
    again, fewer = folder / "killed", folder / "fewer.parquet"
    arguments = command(bundle, fewer, again, *options)
    kills = kill_again_and_again(
        arguments, again, -(-killed_users // part_rows), KILLS, run.seconds / parts
    )
    counts = [lost_and_repeated(table, output, K), lost_and_repeated(fewer, again, K)]
    return {
        "users": users,
        "workers": workers,
        "batch_over_prefill": run.seconds / users * pace,
        "memory_growth": run.memory_growth(),
        "users_lost": sum(lost for lost, _ in counts),
        "users_repeated": sum(repeated for _, repeated in counts),
        "kills": kills,
        "killed_users": killed_users,
        "killed_parts_that_differ": differing_parts(output, again),
        "seconds": run.seconds,
        "wall_seconds": run.wall_seconds,
        "cpu_seconds": run.cpu_seconds,
        "users_per_hour": 3600 * users / run.seconds,
        "prefill_ms_a_user": 1e3 / pace,
        "prefill_ms_a_user_one_process": 1e3 / _pace(alone),
        "prefill_cpu_ms_a_user": 1e3 * read.cpu_seconds / read.users,
        "rendering_ms_a_user": 1e3 * read.rendering_seconds / read.users,
        "prompt_tokens_a_user": read.prompt_tokens,
        "tokens_read_a_user": read.prompt_tokens * read.read_over_prompt,
        "forwards_a_batch": read.forwards,
        "parameters": read.parameters,
        "peak_mb": max(size for _, size in run.samples) / 1e6,
    }


def _options(batch: int, part_rows: int) -> tuple[str, ...]:
    """A beam no wider than the answers, which is the cheapest."""
    same = ("-k", str(K), "--beam-width", str(K))
    return (*same, "--batch-size", str(batch), "--set", f"part_rows={part_rows}")


def _readings(
    bundle: Path, users: Path, part_rows: int, batch: int, parts: int, processes: int
) -> list[Reading]:
    """What only reads prompts, in processes of their own at once, as the job was."""
    arguments = [sys.executable, "-m", "eval.benchmarks.batch_reading", str(bundle), str(users)]
    started = [
        subprocess.Popen(
            [*arguments, *map(str, (part_rows, batch, parts, COUNTED, share, processes))],
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in range(processes)
    ]
    told = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError("the prompts could not be read")
    return [Reading(**json.loads(each.splitlines()[-1])) for each in told]


def _pace(readings: list[Reading]) -> float:
    """Users a second of all processes together."""
    return sum(each.users / each.seconds for each in readings)


def two_workers(folder: Path, users: int, batch: int) -> dict[str, float]:
    """One worker against two, by a model that waits and by one that computes."""
    market = Market(SMALL)
    bundle, table = folder / "small", folder / "some.parquet"
    market.bundle().save(bundle)
    market.users(users).write_parquet(table)
    options = _options(batch, max(users // 24, 1))
    waiting, differing = speedup(bundle, table, folder, options, waiting=True)
    computing, more = speedup(bundle, table, folder, options, waiting=False)
    few = (os.cpu_count() or 1) < CORES
    return {
        "two_workers_speedup": waiting if few else computing,
        "two_workers_speedup_waiting": waiting,
        "two_workers_speedup_computing": computing,
        "two_workers_parts_that_differ": differing + more,
    }


def _make_market(folder: Path, items: int, users: int, fewer: int) -> None:
    """Write the bundle and the tables of users of a job; its memory is let go of."""
    market = Market(items)
    table = market.users(users)
    table.write_parquet(folder / "users.parquet")
    table.head(fewer).write_parquet(folder / "fewer.parquet")
    market.bundle().save(folder / "bundle")


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--items", default=1_000_000, show_default=True)
@click.option("--users", default=100_000, show_default=True)
@click.option("--killed-users", default=20_480, show_default=True, help="Of the killed job.")
@click.option("--worker-users", default=768, show_default=True, help="Of the cluster's job.")
@click.option("--part-rows", default=1024, show_default=True)
@click.option("--batch-size", default=32, show_default=True)
@click.option("--workers", default=os.cpu_count() or 1, help="Processes; default: one a core.")
@click.option(
    "--only",
    type=click.Choice(["job", "cluster"]),
    help="Measure one half again, and keep the other's figures in FILE.",
)
def main(
    json_path: Path | None,
    items: int,
    users: int,
    killed_users: int,
    worker_users: int,
    part_rows: int,
    batch_size: int,
    workers: int,
    only: str | None,
) -> None:
    """Measure a batch job."""
    figures: dict[str, float] = {}
    if only and json_path and json_path.exists():
        figures = json.loads(json_path.read_text(encoding="utf-8"))["figures"]
    with TemporaryDirectory() as place:
        folder = Path(place)
        if only != "cluster":
            fewer = min(killed_users, users)
            _make_market(folder, items, users, fewer)
            figures |= whole_job(folder, users, fewer, part_rows, batch_size, workers)
        if only != "job":
            figures |= two_workers(folder, worker_users, batch_size)
    figures = {name: round(value, 4) for name, value in figures.items()}
    shown = Table("figure", "value")
    for name, value in figures.items():
        shown.add_row(name, f"{value:,}")
    Console().print(shown)
    if json_path:
        report = {
            "figures": figures,
            "two_workers": "waiting" if (os.cpu_count() or 1) < CORES else "computing",
        }
        write_text(json_path, to_json(report | machine()))


if __name__ == "__main__":
    main()
