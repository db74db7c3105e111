"""`recgen benchmark`."""

from collections.abc import Sequence
from pathlib import Path

import click

from rec_gen.cli.common import ALLOW_LEAK, OVERRIDES, table_console
from rec_gen.cli.evaluation import refuse_unwritable
from rec_gen.cli.reporting import write_beside
from rec_gen.cli.training import load_recipe, run_training
from rec_gen.errors import ConfigError
from rec_gen.notices import quiet


@click.command()
@click.argument("recipe")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the result here.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Run folders; default: runs/benchmark/NAME."
)
@ALLOW_LEAK
@OVERRIDES
def benchmark(
    recipe: str,
    json_path: Path | None,
    seeds: int,
    out: Path | None,
    allowed_leaks: Sequence[str],
    overrides: Sequence[str],
) -> None:
    """Train a recipe with the seeds 0, 1, … and measure it on the test split, once a seed.

    Beside the model stand its hybrid with the counted prior, whose weight is chosen on the
    validation split, and the counted baselines. A finished seed is not trained again, and an
    interrupted one goes on. RECIPE is a name or a TOML file with a [prior] table. Of a recipe whose
    prompt reads dialogues, recall is measured as the literature on conversations does, and the
    hybrid is with counted links; it needs no [prior].

    \b
    recgen benchmark quickstart --json quickstart.json
    recgen benchmark opendialkg --json opendialkg.json
    """
    from eval.background import held_out
    from eval.benchmark import benchmark as measure
    from eval.benchmark_report import Benchmark
    from eval.conversation import benchmark_conversations
    from eval.conversation_report import ConversationBenchmark
    from eval.leaks import check_leaks
    from rec_gen.data.dataset import Split
    from rec_gen.data.prepare import load_dataset
    from rec_gen.recommender import Recommender
    from rec_gen.tasks import CONVERSATION
    from rec_gen.templates import Template
    from training.processes import refuse_several
    from training.recipe import recipe_path

    refuse_several("benchmark")
    refuse_unwritable(json_path)
    recipes = [load_recipe(recipe, None, [*overrides, f"seed={seed}"]) for seed in range(seeds)]
    text = recipe_path(recipe).read_text(encoding="utf-8")
    first = recipes[0]
    talks = Template.load(first.prompt.template).header["task"] == CONVERSATION
    if first.prior is None and not talks:
        raise ConfigError(f"{recipe}: has no [prior] table, which the hybrid needs: add one")
    quiet()
    dataset = load_dataset(first.data)
    held_out(dataset, Split.TEST)
    check_leaks(dataset, allowed=allowed_leaks)
    folder = out or Path("runs") / "benchmark" / first.name
    bundles = []
    for each in recipes:
        click.echo(f"seed {each.seed} of {seeds}: {folder / f'seed-{each.seed}'}", err=True)
        bundles.append(run_training(each, dataset, folder / f"seed-{each.seed}", restart=False))
    recommenders = [Recommender.load(bundle) for bundle in bundles]
    result: Benchmark | ConversationBenchmark
    if talks:
        result = benchmark_conversations(recommenders, dataset, allowed_leaks)
    else:
        result = measure(recommenders, dataset, first.validation.exclude_seen, allowed_leaks)
    result.render(table_console())
    if json_path:
        result.save(json_path, text, overrides)
        write_beside(json_path)
        click.echo(f"result: {json_path}")
