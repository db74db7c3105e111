from dataclasses import replace

import numpy as np
import pytest
import torch

from eval.unconstrained import FreeGeneration, K, generate_freely
from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.decoding.transformers_runtime import TransformersRuntime
from rec_gen.testing import brute_force, random_bundle
from tests.toy import toy_dataset, toy_recipe
from training.sft import train


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return toy_dataset()


@pytest.fixture(scope="module")
def examples(dataset: Dataset) -> list[Example]:
    return list(dataset.examples(Split.TEST))


@pytest.fixture(scope="module", params=["title", "semantic"])
def trained(
    request: pytest.FixtureRequest, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """A model that has learnt to write a good part of the items."""
    recipe = toy_recipe(
        spelling={"scheme": request.param}, train={"max_steps": 60}, validation={"every_steps": 60}
    )
    return Bundle.load(train(recipe, dataset, tmp_path_factory.mktemp(request.param)))


def by_method(found: list[FreeGeneration]) -> dict[str, FreeGeneration]:
    return {each.method: each for each in found}


def next_tokens(bundle: Bundle, example: Example) -> torch.Tensor:
    """The probabilities of the token after a prompt, float64 [vocabulary]."""
    ids = torch.tensor([bundle.renderer().render(example.history).ids])
    with torch.inference_mode():
        logits: torch.Tensor = bundle.model(input_ids=ids).logits
    return logits[0, -1].double().softmax(0)


def test_items_of_one_token_are_counted_as_the_next_tokens_say(
    dataset: Dataset, examples: list[Example]
) -> None:
    bundle = random_bundle(dataset.catalog, "item", seed=2)
    places = {int(tokens[0]): item for item, tokens in enumerate(bundle.spellings.tokens)}
    found = by_method(generate_freely(bundle, dataset.catalog, examples, len(examples), 0))
    beams, chances = [], []
    for example in examples:
        tokens = next_tokens(bundle, example)
        best = [places.get(token) for token in tokens.topk(K).indices.tolist()]
        seen = sum(item is not None and item in example.history for item in best)
        beams.append((best.count(None) / K, seen / K))
        chances.append(1 - float(tokens[list(places)].sum()))
    searched = found["beam search"]
    assert (searched.examples, searched.answers) == (len(examples), K)
    assert searched.invalid.mean == pytest.approx(np.mean(beams, axis=0)[0])
    assert searched.seen.mean == pytest.approx(np.mean(beams, axis=0)[1])
    assert 0 < searched.invalid.mean < 1
    assert searched.duplicate.mean == 0
    assert found["sampling"].invalid.mean == pytest.approx(np.mean(chances), abs=0.1)


def test_a_certain_model_repeats_itself(dataset: Dataset, examples: list[Example]) -> None:
    bundle = random_bundle(dataset.catalog, "item")
    with torch.no_grad():
        bundle.model.get_output_embeddings().weight.mul_(1e4)
    found = by_method(generate_freely(bundle, dataset.catalog, examples, 8, 0))["sampling"]
    valid = 1 - found.invalid.mean
    assert found.duplicate.mean == pytest.approx(valid * (K - 1) / K)


def test_longer_spellings_are_found_as_often_as_they_are_likely(
    trained: Bundle, dataset: Dataset, examples: list[Example]
) -> None:
    renderer, runtime = trained.renderer(), TransformersRuntime(trained.model)
    likely = []
    for example in examples:
        prompt = renderer.render(example.history).ids
        every = [True] * len(dataset.catalog)
        scores = brute_force(runtime, prompt, trained.spellings.tokens, every, "lm")
        likely.append(sum(np.exp(score) for score in scores.values()))
    found = by_method(generate_freely(trained, dataset.catalog, examples, len(examples), 0))
    valid = 1 - found["sampling"].invalid.mean
    assert 0 < np.mean(likely) < 1
    assert valid == pytest.approx(np.mean(likely), abs=0.1)
    assert found["beam search"].invalid.mean < 1
    assert found["beam search"].duplicate.mean == 0


def test_the_seed_draws_examples_and_answers(
    trained: Bundle, dataset: Dataset, examples: list[Example]
) -> None:
    state = torch.get_rng_state()
    one, same, other = (
        generate_freely(trained, dataset.catalog, examples, 6, seed) for seed in (0, 0, 1)
    )
    assert one == same
    assert one != other
    assert one[0].examples == 6
    assert (torch.get_rng_state() == state).all()


def test_examples_are_matched_by_item_id(dataset: Dataset, examples: list[Example]) -> None:
    bundle = random_bundle(dataset.catalog, "item")
    order = np.random.default_rng(0).permutation(len(dataset.catalog))
    moved = Catalog(dataset.catalog.frame[order])
    places = np.argsort(order).astype(np.int32)
    shuffled = [
        replace(example, history=places[example.history], target=int(places[example.target]))
        for example in examples
    ]
    assert generate_freely(bundle, moved, shuffled, 5, 0) == generate_freely(
        bundle, dataset.catalog, examples, 5, 0
    )
