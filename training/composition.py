"""Embeddings of new tokens, composed of a free part and a projection of vectors of their items.

Text carries what few interactions cannot teach, the free part what text does not say. Leaving out
free parts at random keeps the projection from being ignored (as DropoutNet does: Volkovs et al.,
2017). The composed table is saved, so that a bundle is an ordinary model.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel

from rec_gen.errors import ConfigError
from rec_gen.text import TextEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAME = "composition"
STD = 0.1
"""The standard deviation that projections begin with; free parts begin with 0.02."""
SOFTNESS = 0.05
"""Directions with less than this share of the largest singular value stay small."""


class Composition(nn.Module):
    """Composes the rows of an embedding table that belong to new tokens."""

    def __init__(self, vectors: torch.Tensor, first: int, width: int, dropout: float) -> None:
        """Begin with random projections.

        Args:
            vectors: float32 [new tokens, dimensions], the mean vector of each token's items.
            first: The id of the first new token; the others follow it.
            width: The width of the table.
            dropout: How often a free part is left out in training.
        """
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=False)
        self.projection = nn.Linear(vectors.shape[1], width, bias=False)
        nn.init.normal_(self.projection.weight, std=STD / vectors.shape[1] ** 0.5)
        self._new = slice(first, first + len(vectors))
        self._dropout = dropout

    def forward(self, free: torch.Tensor) -> torch.Tensor:
        """The composed table for a table of free parts, [vocabulary, width] each."""
        new = free[self._new]
        if self.training:
            new = new * (torch.rand(len(new), 1, device=free.device) >= self._dropout)
        new = new + self.projection(self.vectors)
        return torch.cat([free[: self._new.start], new, free[self._new.stop :]])


def compose(
    model: PreTrainedModel,
    tokens: Sequence[npt.NDArray[np.int32]],
    vectors: Sequence[npt.NDArray[np.float32]],
    first: int,
    dropout: float,
) -> None:
    """Make the embeddings of a model's new tokens composed ones.

    Args:
        model: A model whose input and output embeddings are tied.
        tokens: The spelling of each item.
        vectors: float32 [items, dimensions] each, what some sources say of each item.
        first: The id of the first new token; all from there on are new.
        dropout: How often a free part is left out in training.

    Raises:
        ConfigError: The embeddings are not tied, the spellings have no new token, or the vectors of
            a source are all alike.
    """
    table = model.get_input_embeddings().weight
    if table is not model.get_output_embeddings().weight:
        raise ConfigError("model.embed: needs tie_word_embeddings = true")
    whitened = np.concatenate([_whiten(part) for part in vectors], axis=1)
    by_token = _by_token(tokens, whitened, first, len(table))
    scaled = torch.from_numpy(by_token / by_token.std())
    composition = Composition(scaled, first, table.shape[1], dropout)
    model.add_module(NAME, composition.to(table.device, table.dtype).train(model.training))


def begin_with_text(
    model: PreTrainedModel,
    tokenizer: "PreTrainedTokenizerBase",
    tokens: Sequence[npt.NDArray[np.int32]],
    texts: Sequence[str],
    first: int,
) -> None:
    """Let the new tokens of a pretrained model begin with what it knows of their items' text.

    Each begins as the mean embedding of the text's tokens, averaged over its items, as long as an
    average row of the table.

    Args:
        model: A pretrained model, in which the new tokens have their rows.
        tokenizer: Its tokenizer.
        tokens: The spelling of each item.
        texts: The text of each item.
        first: The id of the first new token; all from there on are new.

    Raises:
        ConfigError: The spellings have no new token.
    """
    encoder = TextEncoder(tokenizer)
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    for table in {id(end.weight): end.weight.data for end in ends}.values():
        old = table[:first].float()
        pieces = (encoder.untrusted(text) for text in texts)
        rows = [old[ids].mean(0) if ids else old.mean(0) for ids in pieces]
        new = torch.from_numpy(_by_token(tokens, torch.stack(rows).numpy(), first, len(tokenizer)))
        length = old.norm(dim=1).mean() / new.norm(dim=1, keepdim=True)
        table[first : len(tokenizer)] = (new * length).to(table.dtype)


@contextmanager
def composed(model: PreTrainedModel) -> Iterator[None]:
    """Let a model compute with its composed table, where it has one."""
    composition = getattr(model, NAME, None)
    if composition is None:
        yield
        return
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    free = ends[0].weight
    table = composition(free)
    for end in ends:
        del end.weight
        end.weight = table
    try:
        yield
    finally:
        for end in ends:
            del end.weight
            end.weight = free


def fold(model: PreTrainedModel) -> None:
    """Make the composed table an ordinary one, for good."""
    composition = getattr(model, NAME, None)
    if composition is not None:
        free = model.get_input_embeddings().weight
        with torch.no_grad():
            free.copy_(composition.eval()(free))
        delattr(model, NAME)


def _whiten(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Centre vectors and let all directions weigh nearly the same, but for the faintest."""
    centred = vectors - vectors.mean(axis=0)
    if np.allclose(centred, 0, atol=1e-6):
        raise ConfigError("model.embed: a source says the same of every item; leave it out")
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    whitened = left * (values / (values + SOFTNESS * values[0]))
    return np.asarray(whitened / whitened.std(), np.float32)


def _by_token(
    tokens: Sequence[npt.NDArray[np.int32]],
    vectors: npt.NDArray[np.float32],
    first: int,
    stop: int,
) -> npt.NDArray[np.float32]:
    """float32 [new tokens, dimensions]: the mean over a token's items."""
    lengths = [len(spelling) for spelling in tokens]
    places = np.concatenate(tokens).astype(np.int64) - first
    new = places >= 0
    if not new.any():
        raise ConfigError("model.embed: titles have no new tokens; spell by 'item' or 'semantic'")
    owners = np.repeat(np.arange(len(tokens)), lengths)[new]
    sums = np.zeros((stop - first, vectors.shape[1]), np.float32)
    np.add.at(sums, places[new], vectors[owners])
    counts = np.bincount(places[new], minlength=len(sums))
    return sums / np.maximum(counts, 1).astype(np.float32)[:, None]
