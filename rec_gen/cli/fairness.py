"""`recgen fairness`."""

from collections.abc import Sequence
from pathlib import Path

import click

from rec_gen.cli.common import bundle_dataset, table_console
from rec_gen.notices import quiet


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--budget",
    default=0.02,
    show_default=True,
    help="The share of NDCG@10 that exposure control may cost on the validation split.",
)
@click.option(
    "--by",
    "columns",
    multiple=True,
    metavar="COLUMN",
    help="Also look at groups of users by a column of theirs, as in user.age.",
)
@click.option("--include-seen", is_flag=True, help="Items of the history may be returned.")
@click.option(
    "--explanations", is_flag=True, help="Count which items have an explanation that is true."
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all of it here.")
def fairness(
    bundle: Path,
    budget: float,
    columns: Sequence[str],
    include_seen: bool,
    explanations: bool,
    json_path: Path | None,
) -> None:
    """Find how much exposure rare items can have for a budget of NDCG, and whom that serves.

    The strength is chosen on the validation split, and both are measured on test, beside
    re-ranking of the first 50 items and counted baselines. It is what --exposure takes.

    \b
    recgen fairness runs/quickstart/bundle --budget 0.02
    recgen fairness runs/quickstart/bundle --by user.gender --by user.age --json fairness.json
    recgen recommend runs/quickstart/bundle --user 1 --exposure 0.2
    """
    from eval.fairness import evaluate_fairness
    from rec_gen.cli.reporting import refuse_folder
    from rec_gen.recommender import Recommender

    if json_path:
        refuse_folder(json_path, f"--json {json_path}")
    quiet()
    recommender = Recommender.load(bundle)
    result = evaluate_fairness(
        recommender,
        bundle_dataset(recommender.bundle),
        budget,
        not include_seen,
        recommender.bundle.manifest.seed,
        columns,
        explanations=explanations,
    )
    result.render(table_console())
    if json_path:
        result.save(json_path)
