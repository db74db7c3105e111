"""`recgen batch` in a process of its own: watched until it ends, or killed on the way."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import psutil

SAMPLE_SECONDS = 0.2
ANSWERS = "part-*.parquet"
TENTHS = [tenth / 10 for tenth in range(1, 10)]
SUMMARY = re.compile(r"([\d,]+) users in ([\d,.]+) s")


@dataclass(frozen=True)
class Watched:
    """A run that came to its end.

    Attributes:
        seconds: What it says that it took to answer, without loading.
        wall_seconds: From its start to its end.
        cpu_seconds: Of all its threads and processes, loading included.
        samples: The share of the parts that were done and the resident bytes of all processes, over
            time.
    """

    seconds: float
    wall_seconds: float
    cpu_seconds: float
    samples: list[tuple[float, int]]

    def memory_growth(self) -> float:
        """How much higher the memory of any later tenth went than that of the second tenth.

        The last one goes to the end of the process.
        """
        peaks = [
            max((size for share, size in self.samples if low <= share < high), default=0)
            for low, high in zip(TENTHS, [*TENTHS[1:], float("inf")], strict=True)
        ]
        return max(peaks) / peaks[0] - 1 if peaks[0] else float("nan")


def command(bundle: Path, users: Path, output: Path, *options: str) -> list[str]:
    """The command line of a job."""
    parts = [sys.executable, "-m", "rec_gen", "batch", bundle, users, output, *options]
    return [str(part) for part in parts]


def watch(arguments: Sequence[str], output: Path, parts: int) -> Watched:
    """Run a job to its end, and look at its memory all the while."""
    began = time.monotonic()
    process = subprocess.Popen(
        list(arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    samples, spent, looked = [], 0.0, psutil.Process(process.pid)
    while process.poll() is None:
        try:
            share = len(list(output.glob(ANSWERS))) / parts
            family = [looked, *looked.children(recursive=True)]
            samples.append((share, sum(each.memory_info().rss for each in family)))
            spent = max(spent, sum(sum(each.cpu_times()[:2]) for each in family))
        except psutil.Error:  # one of them has just ended
            pass
        time.sleep(SAMPLE_SECONDS)
    told = process.communicate()[0]
    said = SUMMARY.search(told)
    if process.returncode or said is None:
        raise RuntimeError(f"{' '.join(arguments)}: ended with {process.returncode}: {told}")
    seconds = float(said[2].replace(",", ""))
    return Watched(seconds, time.monotonic() - began, spent, samples)


def kill_again_and_again(
    arguments: Sequence[str], output: Path, parts: int, kills: int, part_seconds: float
) -> int:
    """Start a job and kill it at random moments while it answers, then let it come to its end.

    Args:
        arguments: The command line.
        output: Where its answers go.
        parts: How many there are.
        kills: How often.
        part_seconds: What a part takes; after a random part a random share of it passes.

    Returns:
        How many kills hit a job that ran.
    """
    rng, hit = np.random.default_rng(0), 0
    moments = np.sort(rng.uniform(0, parts - 1, size=kills))
    for moment in moments:
        process = subprocess.Popen(
            list(arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for done in _changes(process, output):
            if done >= int(moment):
                time.sleep(float(rng.uniform(0, part_seconds)))
                break
        hit += process.poll() is None
        process.kill()
        process.wait()
    subprocess.run(list(arguments), check=True, capture_output=True)
    return hit


def _changes(process: "subprocess.Popen[bytes]", output: Path) -> Iterator[int]:
    """How many parts are done, whenever another one is."""
    before = len(list(output.glob(ANSWERS)))
    while process.poll() is None:
        done = len(list(output.glob(ANSWERS)))
        if done > before:
            yield done
            before = done
        time.sleep(0.02)


def lost_and_repeated(users: Path, output: Path, k: int) -> tuple[int, int]:
    """How many users have neither answer nor reason, and how many have more than one of either."""
    asked = pl.scan_parquet(users).select("user").collect()["user"]
    ranks = (
        pl.scan_parquet(output / ANSWERS)
        .group_by("user")
        .agg(rows=pl.len(), ranks=pl.col("rank").n_unique())
    )
    answered = ranks.collect(engine="streaming")
    failed = list(output.glob("failed-*.parquet"))
    missed = pl.read_parquet(failed)["user"] if failed else asked[:0]
    lost = asked.is_in(answered["user"].to_list()).not_() & asked.is_in(missed.to_list()).not_()
    twice = answered.filter((pl.col("rows") != k) | (pl.col("ranks") != pl.col("rows"))).height
    both = answered["user"].is_in(missed.to_list()).sum()
    return int(lost.sum()), twice + int(both) + len(missed) - missed.n_unique()


def differing_parts(first: Path, second: Path) -> int:
    """How many files of answers that are in both folders have other bytes."""
    names = {file.name for file in first.glob(ANSWERS)} & {f.name for f in second.glob(ANSWERS)}
    return sum((first / name).read_bytes() != (second / name).read_bytes() for name in names)
