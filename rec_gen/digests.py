"""Digests of what a bundle rests on, fine enough to say which part changed."""

import difflib
import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def weights_digest(model: "PreTrainedModel") -> str:
    """A digest of all weights of a model, as they lie in memory."""
    import torch

    digest = blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            digest.update(name.encode())
            digest.update(
                tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data
            )
    return digest.hexdigest()


def tokenizer_digests(tokenizer: "PreTrainedTokenizerBase") -> dict[str, str]:
    """A digest of each part of a tokenizer, by the part's name."""
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    model = backend.pop("model")
    added = backend.pop("added_tokens")
    return {
        "vocabulary": _digest(model.pop("vocab", None)),
        "merges": _digest(model),
        "added tokens": _digest(added),
        "special tokens": _digest(tokenizer.special_tokens_map),
        "chat template": _digest(tokenizer.chat_template),
        "normalisation": _digest(backend),
    }


def text_digest(text: str) -> str:
    """A digest of a text."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def changed_lines(old: str, new: str) -> str:
    """The lines in which two texts differ, in one line."""
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    return "; ".join(line for line in lines if line[:1] in "+-")


def _digest(value: Any) -> str:
    return text_digest(json.dumps(value, sort_keys=True, default=str))
