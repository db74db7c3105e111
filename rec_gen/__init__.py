"""A generative LLM recommender: it writes recommendations, and never leaves the catalog.

Names are imported when they are first used, so that `import rec_gen` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rec_gen.answers import Answer, Recommendation
    from rec_gen.bundle import Bundle
    from rec_gen.catalog import Catalog, Item
    from rec_gen.conversation import Conversation
    from rec_gen.data.config import DataConfig
    from rec_gen.data.dataset import Dataset, Dialogue
    from rec_gen.data.prepare import load_dataset
    from rec_gen.decoding.sampling import Sampling
    from rec_gen.errors import RecGenError
    from rec_gen.recommender import Recommender
    from rec_gen.replying import Reply, Turn

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Bundle",
    "Catalog",
    "Conversation",
    "DataConfig",
    "Dataset",
    "Dialogue",
    "Item",
    "RecGenError",
    "Recommendation",
    "Recommender",
    "Reply",
    "Sampling",
    "Turn",
    "load_dataset",
]

_HOMES = {
    "Answer": "rec_gen.answers",
    "Bundle": "rec_gen.bundle",
    "Catalog": "rec_gen.catalog",
    "Conversation": "rec_gen.conversation",
    "DataConfig": "rec_gen.data.config",
    "Dataset": "rec_gen.data.dataset",
    "Dialogue": "rec_gen.data.dataset",
    "Item": "rec_gen.catalog",
    "RecGenError": "rec_gen.errors",
    "Recommendation": "rec_gen.answers",
    "Recommender": "rec_gen.recommender",
    "Reply": "rec_gen.replying",
    "Sampling": "rec_gen.decoding.sampling",
    "Turn": "rec_gen.replying",
    "load_dataset": "rec_gen.data.prepare",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rec_gen' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
