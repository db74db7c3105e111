import numpy as np
import polars as pl
import pytest

from rec_gen.data.dataset import Dataset, Split
from rec_gen.rating_pairs import held_out_pairs, training_pairs
from tests.toy import rated, toy_dataset


def test_a_held_out_no_was_never_chosen() -> None:
    """Neither in training, nor in validation, nor in the test."""
    dataset = toy_dataset()
    examples = list(dataset.examples(Split.VALID))
    pairs = list(held_out_pairs(dataset, examples, None, seed=0))
    assert len(pairs) == 2 * len(examples)
    for example, yes, no in zip(examples, pairs[::2], pairs[1::2], strict=True):
        assert (yes.item, yes.liked, no.liked) == (example.target, True, False)
        assert no.item not in dataset.history(example.user)
        assert yes.history is no.history is example.history
        assert yes.user == no.user == example.user


def test_a_training_no_is_chosen_neither_before_nor_later() -> None:
    dataset = toy_dataset()
    sequences = {sequence.items.ctypes.data: sequence for sequence in dataset.sequences()}
    pairs = list(training_pairs(dataset, None, 400, np.random.default_rng(0)))
    assert sum(pair.liked for pair in pairs) == 200
    for pair in pairs:
        # a history is a view of its user's sequence
        sequence = sequences[pair.history.ctypes.data]
        place = len(pair.history)
        assert (pair.history == sequence.items[:place]).all()
        assert pair.liked == (pair.item == sequence.items[place])
        assert pair.liked or pair.item not in sequence.items


def chosen(*rows: tuple[str, int, float]) -> Dataset:
    """Training interactions with ratings: user, item and rating of each."""
    table = [(user, item, time, "train", rating) for time, (user, item, rating) in enumerate(rows)]
    schema = {**toy_dataset().frame.schema, "rating": pl.Float32()}
    frame = pl.DataFrame(table, schema=schema, orient="row").sort("user", maintain_order=True)
    return Dataset(toy_dataset().catalog, frame, {"name": "chosen"})


def test_what_many_chose_is_more_often_a_no() -> None:
    crowd = [(f"u{user}", 1 if user < 30 else 2, 3.0) for user in range(40)]
    dataset = chosen(("a", 0, 3.0), ("a", 3, 3.0), *crowd)
    pairs = training_pairs(dataset, None, 2000, np.random.default_rng(0))
    drawn = [pair.item for pair in pairs if not pair.liked and len(pair.history)]
    assert {*drawn} == {1, 2}
    assert np.mean(np.array(drawn) == 1) == pytest.approx(30 / 40, abs=0.15)


def test_a_rated_item_is_asked_about_after_what_came_before_it() -> None:
    dataset = rated(toy_dataset())
    sequences = {sequence.items.ctypes.data: sequence for sequence in dataset.sequences()}
    for pair in training_pairs(dataset, 4.0, 200, np.random.default_rng(0)):
        sequence = sequences[pair.history.ctypes.data]
        place = len(pair.history)
        assert (pair.history == sequence.items[:place]).all()
        assert pair.item == sequence.items[place]
        assert pair.liked == (sequence.items[place] % 3 != 0)
