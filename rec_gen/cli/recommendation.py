"""`recgen recommend`."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rec_gen.cli.common import DOMAIN, bundle_dataset, item_ids, print_answer
from rec_gen.errors import ConfigError
from rec_gen.notices import quiet

if TYPE_CHECKING:
    from rec_gen.calibration import Scale
    from rec_gen.decoding.score import Score


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--history",
    "histories",
    multiple=True,
    help="Item ids, oldest first, or a JSON list.",
)
@click.option("--user", "users", multiple=True, help="A user of the bundle's data set.")
@DOMAIN
@click.option("-k", default=10, show_default=True, help="Items to recommend.")
@click.option("--include-seen", is_flag=True, help="Items of the history may be returned.")
@click.option("--block", multiple=True, metavar="ITEM", help="Never return this item.")
@click.option("--allow", multiple=True, metavar="ITEM", help="Return no item but these.")
@click.option("--where", help="A rule over item columns: 'year > 1990 and \"Drama\" in genres'.")
@click.option(
    "--score",
    type=click.Choice(["lm", "catalog"]),
    help="What items are ranked by; without it, what the bundle was trained by.",
)
@click.option("--beam-width", default=20, show_default=True, help="Prefixes that go on at once.")
@click.option("--exact", is_flag=True, help="Search on until the answer is certain.")
@click.option("--temperature", type=float, help="Draw items at this temperature; 1 is the model's.")
@click.option("--seed", default=0, show_default=True, help="Another seed draws anew.")
@click.option("--max-per", metavar="COLUMN=N", help="At most N items of each value of a column.")
@click.option(
    "--item-scores",
    type=click.Path(path_type=Path),
    help="Your own scores: a JSON object by item id, or a CSV with columns item and score.",
)
@click.option("--item-weight", default=1.0, show_default=True, help="Multiplies your own scores.")
@click.option(
    "--prior-weight",
    default=0.0,
    show_default=True,
    help="How much the bundle's counted prior joins the model; above 0 this is the hybrid.",
)
@click.option(
    "--exposure",
    default=0.0,
    show_default=True,
    help="Raise rarer items by so much of their rarity; see recgen fairness.",
)
@click.option(
    "--scale",
    type=click.Choice(["log", "list", "probability"]),
    default="log",
    show_default=True,
    help="Scores as log-probabilities, as shares of the list, or as calibrated probabilities.",
)
@click.option("--template", help="Refuse the bundle unless it was trained on this template.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def recommend(
    bundle: Path,
    histories: Sequence[str],
    users: Sequence[str],
    domain: str | None,
    k: int,
    include_seen: bool,
    block: Sequence[str],
    allow: Sequence[str],
    where: str | None,
    score: "Score | None",
    beam_width: int,
    exact: bool,
    temperature: float | None,
    seed: int,
    max_per: str | None,
    item_scores: Path | None,
    item_weight: float,
    prior_weight: float,
    exposure: float,
    scale: "Scale",
    template: str | None,
    as_json: bool,
) -> None:
    """Recommend items after histories.

    \b
    recgen recommend runs/quickstart/bundle --history 50,172,181 -k 5
    recgen recommend runs/quickstart/bundle --user 1 --user 2 --json
    recgen recommend runs/quickstart/bundle --user 1 --temperature 1.5 --seed 7
    recgen recommend runs/quickstart/bundle --user 1 --scale probability
    recgen recommend runs/shop/bundle --history p1,p4 --max-per category=3
    recgen recommend runs/shop/bundle --history p1 --item-scores margin.csv --item-weight 0.1
    """
    from rec_gen.decoding.sampling import Sampling
    from rec_gen.recommender import Recommender

    cap = None if max_per is None else _cap(max_per)
    own = None if item_scores is None else _item_scores(item_scores)
    sampling = None if temperature is None else Sampling(temperature, seed)
    quiet()
    recommender = Recommender.load(bundle, template=template, domain=domain)
    requests = [(history, item_ids(history)) for history in histories]
    if users:
        dataset = bundle_dataset(recommender.bundle)
        ids = recommender.catalog.ids
        requests += [(user, [ids[place] for place in dataset.history(user)]) for user in users]
    if not requests:
        raise ConfigError("give at least one --history or --user")
    answers = recommender.recommend(
        [history for _, history in requests],
        k,
        exclude_seen=not include_seen,
        block=block,
        allow=allow or None,
        where=where,
        score=score,
        beam_width=beam_width,
        exact=exact,
        sampling=sampling,
        max_per=cap,
        item_scores=own,
        item_weight=item_weight,
        prior_weight=prior_weight,
        exposure=exposure,
        scale=scale,
    )
    for (request, _), answer in zip(requests, answers, strict=True):
        if as_json:
            rows = [{"id": r.item.id, "title": r.item.title, "score": r.score} for r in answer]
            found = {"request": request, "items": rows, "certified": answer.certified}
            click.echo(json.dumps(found, ensure_ascii=False))
        else:
            print_answer(request, answer)


def _cap(text: str) -> tuple[str, int]:
    column, _, most = text.rpartition("=")
    if not column or not most.isdecimal():
        raise ConfigError(f"--max-per {text}: write it as COLUMN=N, for example category=3")
    return column, int(most)


def _item_scores(path: Path) -> dict[str, float]:
    """Scores by item id, from a JSON object or a CSV with the columns `item` and `score`."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            if path.suffix == ".csv":
                return {row["item"]: float(row["score"]) for row in csv.DictReader(file)}
            return {str(item): float(score) for item, score in json.load(file).items()}
        except (AttributeError, KeyError, TypeError, ValueError, csv.Error) as error:
            raise ConfigError(
                f"--item-scores {path}: cannot be read ({error!r}): write a JSON object of numbers "
                "by item id, or a CSV with the columns item and score"
            ) from error
