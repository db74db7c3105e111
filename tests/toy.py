"""A small data set with a pattern that a model can learn in seconds."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.config import parse_config
from rec_gen.data.dataset import Dataset, Split
from training.recipe import Recipe

ITEMS = 12
SCRATCH = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16,
}  # fmt: skip


def toy_dataset(users: int = 24, length: int = 9, seed: int = 0) -> Dataset:
    """Each user walks around a ring of items, one way or the other; leave-one-out."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        item = int(rng.integers(ITEMS))
        for time in range(length):
            split = {length - 1: Split.TEST, length - 2: Split.VALID}.get(time, Split.TRAIN)
            rows.append((f"u{user}", item, time, split.value))
            item = (item + (1 if user % 2 else -1)) % ITEMS
    columns: dict[str, Any] = {
        "user": pl.String,
        "item": pl.UInt32,
        "time": pl.Int64,
        "split": pl.Enum([split.value for split in Split]),
    }
    items = {
        "item": [f"i{item}" for item in range(ITEMS)],
        "title": [f"Film {item}" for item in range(ITEMS)],
    }
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return Dataset(Catalog(pl.DataFrame(items)), frame, {"name": "toy"})


def toy_recipe(**changes: Any) -> Recipe:
    """A run of a few steps; each change names a table and the keys to replace in it."""
    table: dict[str, Any] = {
        "name": "toy",
        "data": {"source": "movielens-100k"},
        "prompt": {"template": "sequence", "max_tokens": 64},
        "model": {"scratch": SCRATCH},
        "train": {"max_steps": 6, "batch_size": 8, "learning_rate": 0.01},
        "validation": {"every_steps": 3},
    }
    for key, value in changes.items():
        table[key] = {**table.get(key, {}), **value} if isinstance(value, dict) else value
    return parse_config(Recipe, table)


def tiny_base(folder: Path, *, tied: bool = True) -> str:
    """A base model with random weights and its tokenizer, saved as a local folder."""
    from rec_gen.testing import tiny_model, tiny_tokenizer

    tokenizer = tiny_tokenizer(chat=True)
    model = tiny_model(
        len(tokenizer),
        model_type="llama",
        hidden_size=64,
        head_dim=32,
        tie_word_embeddings=tied,
    )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)


def rated(dataset: Dataset) -> Dataset:
    """The same data where every item has one of three brands, and people like two of them."""
    brand = pl.Series("brand", [f"Brand {'ABC'[item % 3]}" for item in range(ITEMS)])
    words = pl.Series("title", [f"Film {item} {WORDS[item]}" for item in range(ITEMS)])
    rating = pl.when(pl.col("item") % 3 == 0).then(2.0).otherwise(5.0).cast(pl.Float32)
    return Dataset(
        Catalog(dataset.catalog.frame.with_columns(words, brand)),
        dataset.frame.with_columns(rating.alias("rating")),
        dataset.manifest,
    )


WORDS = [
    "amber", "birch", "cedar", "dawn", "ember", "frost", "grove", "heath", "iris", "jade", "kelp",
    "lark",
]  # fmt: skip
EVERY_TASK: list[dict[str, Any]] = [
    {"template": "next_item", "weight": 0.5},
    {"template": "item_from_title"},
    {"template": "title_of_item"},
    {"template": "search"},
    {"template": "rating", "weight": 2.0, "liked_from": 4.0},
    {"template": "explanation"},
]
