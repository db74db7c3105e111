"""`recgen weigh`."""

from collections.abc import Sequence

import click

from rec_gen.cli.common import OVERRIDES
from rec_gen.notices import quiet


@click.command()
@click.argument("recipe")
@click.option("--data", help="Instead of the recipe's: a name, a TOML file or a prepared folder.")
@OVERRIDES
def weigh(recipe: str, data: str | None, overrides: Sequence[str]) -> None:
    """Choose the weights of a RECIPE's item vectors on the validation split, training nothing.

    The line that is printed last belongs under [spelling].

    \b
    recgen weigh industrial --set 'spelling.sources=["text", "words", "cooccurrence"]'
    """
    from eval.item_weights import choose_weights
    from rec_gen.cli.training import load_recipe
    from rec_gen.data.dataset import Split
    from rec_gen.data.prepare import load_dataset
    from rec_gen.semantic_ids import source_vectors

    quiet()
    loaded = load_recipe(recipe, data, overrides)
    dataset, config = load_dataset(loaded.data), loaded.spelling
    histories = [sequence.items for sequence in dataset.sequences()]
    parts = {
        source: source_vectors(source, dataset.catalog, histories, config, loaded.seed)
        for source in config.sources
    }
    found = choose_weights(parts, list(dataset.examples(Split.VALID)), loaded.seed)
    for weights, ndcg in sorted(found.tried, key=lambda each: each[1]):
        told = ", ".join(f"{source} {weight:g}" for source, weight in weights.items())
        click.echo(f"validation NDCG@10 {ndcg:.4f}: {told}")
    inside = ", ".join(f'"{source}" = {weight:g}' for source, weight in found.weights.items())
    click.echo(f"equal weights have {found.equal:.4f}; the best:")
    click.echo(f"weights = {{ {inside} }}")
