"""`recgen report`, and the page that other commands write beside their JSON."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rec_gen.errors import ConfigError, DataError, MissingPackageError


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True
)
def report(paths: Sequence[Path], out: Path) -> None:
    """Make one page to look at of results and runs: HTML that needs nothing else.

    PATHS are JSON files of recgen evaluate, benchmark and prompts experiment, and run folders,
    whose training curves are drawn.

    \b
    recgen report runs/quickstart/evaluation.json runs/quickstart --out report.html
    recgen report eval/results/quickstart.json eval/results/beauty.json
    """
    from eval.page import write_page
    from eval.page_data import read_result

    if out.suffix not in (".html", ".htm") or out.is_dir():
        raise ConfigError(f"--out {out}: name a file that ends in .html")
    refuse_folder(out, f"--out {out}")
    _refuse_others(out, f"--out {out}")
    results = {str(path): read_result(path) for path in paths if not path.is_dir()}
    runs = {str(path): _curves(path) for path in paths if path.is_dir()}
    write_page(out, results, runs)
    click.echo(f"page: {out}")


def refuse_others_page(json_path: Path, asked: str) -> None:
    """Do not write the page of a result where something else has its name.

    Args:
        json_path: The result's JSON; the page gets its name with the suffix `.html`.
        asked: What asked for it, for the message.

    Raises:
        ConfigError: A folder has, or a file that is no page of results.
    """
    page = json_path.with_suffix(".html")
    if page == json_path:
        raise taken(asked, page, "the page")
    _refuse_others(page, asked)


def _refuse_others(page: Path, asked: str) -> None:
    from eval.page import is_page

    if page.exists() and not is_page(page):
        raise taken(asked, page, "the page")


def refuse_folder(file: Path, asked: str) -> None:
    """Say at once that a file could not be written, and not after the work.

    Args:
        file: The file.
        asked: What asked for it, for the message.

    Raises:
        ConfigError: Its place is no existing folder, or one that cannot be written.
    """
    folder = file.absolute().parent
    if file.is_dir():
        raise ConfigError(f"{asked}: {file} is a folder: name a file")
    if not folder.is_dir():
        raise ConfigError(f"{asked}: {folder} is no folder: make it, or choose another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{asked}: the folder {folder} cannot be written: choose another")


def taken(asked: str, beside: Path, what: str) -> ConfigError:
    """The error that something else is where a file would be written."""
    return ConfigError(
        f"{asked}: {what} would be written to {beside}, which is something else: choose another "
        "name"
    )


def write_beside(json_path: Path, run: Path | None = None) -> None:
    """Write the page of a result beside its JSON, or say in a line why there is none.

    A page of what the JSON held before is then removed.

    Args:
        json_path: The JSON; the page gets its name with the suffix `.html`.
        run: A folder that may be a training run's, whose curves are then shown.
    """
    from eval.page import is_page, write_page
    from eval.page_data import read_result

    page = json_path.with_suffix(".html")
    try:
        write_page(page, {json_path.name: read_result(json_path)}, _run_around(run))
    except MissingPackageError as error:
        if is_page(page):
            page.unlink()
        click.echo(f"{page} is left out: {error}", err=True)


def _run_around(folder: Path | None) -> Mapping[str, Mapping[str, Any]]:
    """The curves of a run by its name; nothing where the folder is none, or has a broken log."""
    try:
        return {folder.resolve().name: _curves(folder)} if folder else {}
    except DataError as error:
        click.echo(f"the training curves are left out: {error}", err=True)
    except ConfigError:
        pass
    return {}


def _curves(run: Path) -> Mapping[str, Any]:
    """The curves of a run as a table.

    Raises:
        ConfigError: The folder holds no run that reached a validation.
        DataError: The log of the run is broken.
        MissingPackageError: A package that only training needs is not installed.
    """
    try:
        from training.curves import read_curves
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "scikit-learn", "train") from error
    return asdict(read_curves(run))
