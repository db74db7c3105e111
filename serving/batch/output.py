"""The files of a part: its failed rows, then its answers, which make it done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rec_gen.domains import CATALOG
from rec_gen.files import new_file
from rec_gen.manifest import Manifest

DIGITS = 12
"""Of a digest, in the answers."""


@dataclass(frozen=True)
class Found:
    """The answer to a row.

    Attributes:
        items: Item ids, the best first.
        scores: The score of each.
        explanations: Why each fits, or None; empty where nobody asked.
        prompt_tokens: The length of the prompt.
    """

    items: list[str]
    scores: list[float]
    explanations: list[str | None]
    prompt_tokens: int


def answer_table(
    rows: pl.DataFrame, found: Mapping[int, Found], manifest: Manifest, *, explained: bool
) -> pl.DataFrame:
    """The answers of a part, in the order of its rows.

    Args:
        rows: All rows, with the columns `row` and `user`.
        found: The answers by row.
        manifest: The bundle's, which has been saved.
        explained: Whether there is a column of explanations.
    """
    answered = rows.select("row", "user").filter(pl.col("row").is_in(list(found)))
    each = [found[row] for row in answered["row"]]
    ranks = [list(range(1, len(one.items) + 1)) for one in each]
    columns = {
        "rank": pl.Series(ranks, dtype=pl.List(pl.Int32)),
        "item": pl.Series([one.items for one in each], dtype=pl.List(pl.String)),
        "score": pl.Series([one.scores for one in each], dtype=pl.List(pl.Float64)),
    }
    if explained:
        told = [one.explanations for one in each]
        columns["explanation"] = pl.Series(told, dtype=pl.List(pl.String))
    frame = answered.select("user").with_columns(**columns).explode(*columns)
    return frame.with_columns(
        model=pl.lit(f"{manifest.name}@{manifest.digest[:DIGITS]}"),
        catalog_version=pl.lit(manifest.files[CATALOG][:DIGITS]),
    )


def failed_table(rows: pl.DataFrame, failed: Sequence[tuple[int, str]]) -> pl.DataFrame:
    """The rows without an answer, each with its reason."""
    schema = {"row": pl.Int64, "reason": pl.String}
    reasons = pl.DataFrame(sorted(failed), schema=schema, orient="row")
    return rows.select("row", "user").join(reasons, on="row", maintain_order="right")


def write_part(
    answers: pl.DataFrame, failed: pl.DataFrame, answers_to: Path, failed_to: Path
) -> None:
    """Write both files, the one that makes the part done last.

    An earlier attempt that was killed may have left failed rows.
    """
    if failed.height:
        write_table(failed, failed_to)
    else:
        failed_to.unlink(missing_ok=True)
    write_table(answers, answers_to)


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a file beside its place and move it there."""
    with new_file(path) as partial:
        frame.write_parquet(partial, compression="zstd")
