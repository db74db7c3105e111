"""Several catalogs in one bundle, from the recipe to the lists."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rec_gen.bundle import Bundle
from rec_gen.catalog import Item
from rec_gen.config import parse_config
from rec_gen.errors import BundleError, ConfigError, SpellingError
from rec_gen.recommender import Recommender
from rec_gen.spelling import spell
from rec_gen.testing import tiny_tokenizer
from tests.domains import named, several
from tests.rec_gen.command import run
from tests.toy import ITEMS, toy_recipe
from training.catalog_loss import CatalogLoss, summed
from training.compress import compress
from training.compress_config import CompressConfig
from training.recipe import Recipe
from training.sft import train
from training.union import unite


def test_each_catalog_keeps_its_own_files(several_catalogs: Path) -> None:
    bundle = Bundle.load(several_catalogs)
    read, new = bundle.domain("read"), bundle.domain("new")
    assert read.catalog.titles[0] == "films 3" == bundle.catalog.titles[3]
    assert read.spellings.tokens[0].tobytes() == bundle.spellings.tokens[3].tobytes()
    tokens = [{spelling.tobytes() for spelling in b.spellings.tokens} for b in (bundle, read, new)]
    assert [len(tokens[0] & other) for other in tokens[1:]] == [2, 0]
    assert read.template.name == "next_item_direct" != new.template.name == "sequence"
    assert read.model is bundle.model
    assert bundle.manifest.metrics["ndcg@10"] != read.manifest.metrics["ndcg@10"]
    assert set(read.manifest.calibration) == {"lm", "catalog"}
    assert not new.manifest.metrics
    assert not new.manifest.calibration
    assert bundle.domain("films").catalog is bundle.catalog
    assert read.manifest.recipe["data"]["share"] == 0.5
    with pytest.raises(BundleError, match="domain 'toys': the bundle knows films, read, new;"):
        bundle.domain("toys")


def test_a_domain_is_a_bundle_as_any_other(several_catalogs: Path, tmp_path: Path) -> None:
    recommender = Recommender.load(several_catalogs, domain="read")
    answer = recommender.recommend([["i0", "i1"]], k=10, prior_weight=0.5)[0]
    assert {each.item.id for each in answer} == {f"i{i}" for i in range(2, ITEMS)}
    assert {each.item.title for each in answer} <= set(recommender.catalog.titles)
    recommender.bundle.save(tmp_path / "alone")
    alone = Recommender.load(tmp_path / "alone")
    assert alone.bundle.domains == {}
    assert alone.recommend([["i0", "i1"]], k=10, prior_weight=0.5)[0] == answer


def test_a_changed_file_of_a_domain_is_refused(several_catalogs: Path, tmp_path: Path) -> None:
    Bundle.load(several_catalogs).save(tmp_path / "copy")
    template = tmp_path / "copy" / "domains" / "read" / "template.jinja"
    template.write_text(template.read_text() + "!")
    with pytest.raises(BundleError, match=r"domains/read/template.jinja was changed"):
        Bundle.load(tmp_path / "copy")


def test_learning_from_one_catalog_refuses_several(several_catalogs: Path, tmp_path: Path) -> None:
    config = parse_config(CompressConfig, {"weights": "bfloat16"})
    with pytest.raises(ConfigError, match="compress: the bundle 'toy' knows several catalogs"):
        compress(Bundle.load(several_catalogs), config, named("films"), tmp_path)


def test_the_command_line_asks_a_domain(several_catalogs: Path) -> None:
    asked = run("recommend", several_catalogs, "--domain", "read", "--history", "i0", "-k", 11)
    assert "books 7" in asked.output
    wrong = run("evaluate", several_catalogs, "--domain", "toys")
    assert "domain 'toys': the bundle knows films, read, new" in wrong.output
    counted = run("evaluate", several_catalogs, "--domain", "new", "--baselines", "popularity")
    assert counted.exit_code == 0, counted.output
    assert "shop" in counted.output


def test_titles_are_learnt_by_the_whole_vocabulary(tmp_path: Path) -> None:
    recipe = several(tmp_path / "data", "title", "lm")
    path = train(recipe, named("films"), tmp_path / "run")
    recommender = Recommender.load(path, domain="new")
    assert len(recommender.recommend([["i0"]], k=11)[0]) == 11


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "films"}, r"domains.0.name 'films': is the name of the first domain"),
        ({"template": "search"}, r"domains.0.template: 'search' is not for the task next_item"),
    ],
)
def test_a_domain_that_does_not_fit_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    recipe = several(tmp_path / "data")
    changed = recipe.domains[0].model_copy(update=change)
    recipe = recipe.model_copy(update={"domains": (changed,)})
    with pytest.raises(ConfigError, match=message):
        train(recipe, named("films"), tmp_path / "run")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"tasks": [{"template": "search"}]}, "leave .* out"),
        ({"train": {"packing": True}}, "packing"),
        ({"domains": 2}, "'read' names two"),
        ({"domains": 1, "name": ".."}, "domains.0.name"),
        ({"model": {"embed": ["vectors:sound"]}}, "leave 'vectors:sound' out"),
    ],
)
def test_a_recipe_of_domains_says_what_it_goes_without(more: dict[str, Any], message: str) -> None:
    domain = {"name": more.pop("name", "read"), "data": {"source": "movielens-1m"}}
    table = {**more, "domains": [domain] * more.get("domains", 1)}
    with pytest.raises(ConfigError, match=message):
        toy_recipe(**table)


def test_the_recipe_of_the_docs_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "domains.md").read_text(encoding="utf-8")
    table = tomllib.loads(text.split("```toml\n")[1].split("```")[0])
    recipe = parse_config(Recipe, {"name": "docs", "train": {"max_steps": 1}, **table})
    assert [domain.data.share for domain in recipe.domains] == [0.1, 0]


def test_only_titles_that_are_unique_in_both_are_one_item() -> None:
    films = named("films", {1: "Emma", 2: "Heat", 7: "Heat"}, genres="Drama")
    books = named("books", {4: "  Emma", 5: "Heat", 6: "Dune", 8: "Dune"}, brand="Penguin")
    union = unite([films, books], ["films", "books"], ["title", "genres", "brand"])
    first, second = union.places
    assert first.tolist() == list(range(ITEMS))
    assert len(union.dataset.catalog) == 2 * ITEMS - 1
    assert {place for place in range(ITEMS) if second[place] in first} == {4}
    texts = union.dataset.catalog.texts(["title", "genres", "brand"])
    assert texts[1] == "Emma. Drama"
    assert texts[second[5]] == "Heat. Penguin"
    users = {sequence.user: sequence.items for sequence in union.dataset.sequences()}
    for name, dataset, places in (("films", films, first), ("books", books, second)):
        for sequence in dataset.sequences():
            assert users[f"{name}:{sequence.user}"].tolist() == places[sequence.items].tolist()
    with pytest.raises(ConfigError, match="the catalog of 'films' has none of brand"):
        unite([films, books], ["films", "books"], ["brand"])


def test_each_row_is_normalised_over_its_own_catalog() -> None:
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    tokens = spell(named("films").catalog, "item", tokenizer).tokens
    losses = [CatalogLoss(part, 0.0) for part in (tokens[:5], tokens[3:])]
    head = torch.nn.Linear(8, len(tokenizer), bias=False)
    hidden = torch.randn(3, 4, 8)
    labels = torch.tensor(np.array([[-100, *(int(tokens[4][0]),) * 3]] * 3))
    got = summed(losses, hidden, head, labels, None, torch.tensor([1, 0, 1]))
    expected = losses[0](hidden[1:2], head, labels[1:2]) + losses[1](hidden[::2], head, labels[::2])
    assert torch.allclose(got, expected)
    assert not torch.allclose(got, summed(losses, hidden, head, labels, None, None))


def test_codes_that_were_told_apart_beside_another_catalog_stay(tmp_path: Path) -> None:
    recipe = several(tmp_path / "data", scheme="semantic")
    config = {"scheme": "semantic", "levels": 1, "codes": 4, "sources": ("text",)}
    changed = recipe.spelling.model_copy(update=config)
    bundle = train(recipe.model_copy(update={"spelling": changed}), named("films"), tmp_path / "r")
    recommender = Recommender.load(bundle, domain="read")
    with pytest.raises(SpellingError, match="told apart beside those of other domains"):
        recommender.put_items([Item("n", "Another book", {})], codes={"n": [0]})
    assert "n" not in recommender.catalog.positions
