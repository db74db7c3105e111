"""`recgen prompts experiment`."""

from collections.abc import Sequence
from pathlib import Path

import click

from rec_gen.cli.common import ALLOW_LEAK, OVERRIDES, table_console
from rec_gen.cli.reporting import refuse_folder, refuse_others_page, write_beside
from rec_gen.notices import quiet


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder; default: runs/experiments/NAME."
)
@ALLOW_LEAK
@OVERRIDES
def experiment(
    file: Path, out: Path | None, allowed_leaks: Sequence[str], overrides: Sequence[str]
) -> None:
    """Try prompts: every template with every model answers the same held-out users.

    FILE is a TOML file with the data, the templates and the models. All arms rank the whole
    catalog by constrained search. What was measured is kept: the same command goes on after a
    kill, and a further template costs no more than its own users. The result is a table, and in
    the folder experiment.json, each answer as Parquet, and a page to look at, experiment.html.

    \b
    name = "wordings"
    users = 60
    exact = true
    beam_width = 200
    data.source = "movielens-100k"
    templates = [{ template = "next_item" }, { template = "video_next" }]
    models = [{ base = "smollm2-135m" }]

    \b
    recgen prompts experiment experiment.toml
    recgen prompts experiment experiment.toml --set users=10 --out runs/few
    """
    from eval.experiment_config import ExperimentConfig
    from rec_gen.config import load_config
    from rec_gen.errors import ConfigError

    config = load_config(ExperimentConfig, file, overrides)
    quiet()
    from eval.experiment import run_experiment

    folder = out or Path("runs") / "experiments" / config.name
    outermost = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    refuse_folder(outermost / "experiment.json", f"--out {folder}")
    refuse_others_page(folder / "experiment.json", f"--out {folder}")
    try:
        result = run_experiment(config, folder, allowed_leaks)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    result.render(table_console())
    result.save(folder / "experiment.json")
    write_beside(folder / "experiment.json")
    click.echo(f"result: {folder / 'experiment.json'}")
