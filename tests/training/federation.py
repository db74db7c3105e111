"""A small recipe for clients."""

from typing import Any

from rec_gen.config import parse_config
from training.federated.config import FederatedRecipe


def toy_federation(base: str, **changes: Any) -> FederatedRecipe:
    """Four clients that make two rounds; each change names a table and the keys to replace."""
    table: dict[str, Any] = {
        "name": "toy",
        "data": {"source": "movielens-100k"},
        "prompt": {"template": "sequence", "max_tokens": 64},
        "model": {"base": base, "adapter": "lora"},
        "train": {"max_steps": 8, "batch_size": 4, "learning_rate": 0.02},
        "validation": {"every_steps": 4},
        "federated": {"clients": 4, "local_steps": 4},
    }
    for key, value in changes.items():
        table[key] = {**table.get(key, {}), **value} if isinstance(value, dict) else value
    return parse_config(FederatedRecipe, table)
