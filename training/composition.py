"""Embeddings of new tokens, composed of a free part and a projection of vectors of their items.

Text carries what few interactions cannot teach, the free part what text does not say. Leaving out
free parts at random keeps the projection from being ignored (as DropoutNet does: Volkovs et al.,
2017). Composed rows are saved as plain ones, so that a bundle is an ordinary model or adapter.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from rec_gen.errors import ConfigError
from rec_gen.text import TextEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAME = "composition"
FILE = "composition.safetensors"
STD = 0.1
"""The standard deviation that projections begin with; free parts begin with 0.02."""
SOFTNESS = 0.05
"""Directions with less than this share of the largest singular value stay small."""


class Composition(nn.Module):
    """Composes the rows of new tokens in each table of a model: one where its ends are tied."""

    def __init__(
        self,
        new: range,
        vectors: torch.Tensor,
        begun: Sequence[torch.Tensor],
        dropout: float,
        std: float,
    ) -> None:
        """Begin with random projections, or with projections of zero.

        Args:
            new: The ids of the new tokens.
            vectors: float32 [new tokens, dimensions], the mean vector of each token's items.
            begun: For each table [new tokens, width], what stays of a row without its free part.
            dropout: How often a free part is left out in training.
            std: The standard deviation that projections begin with.
        """
        super().__init__()
        self.new = new
        self.register_buffer("vectors", vectors, persistent=False)
        projections = [nn.Linear(vectors.shape[1], rows.shape[1], bias=False) for rows in begun]
        for index, (projection, rows) in enumerate(zip(projections, begun, strict=True)):
            nn.init.normal_(projection.weight, std=std)
            self.register_buffer(f"begun_{index}", rows.float(), persistent=False)
        self.projections = nn.ModuleList(projections)
        self._dropout = dropout

    def forward(self, free: torch.Tensor, index: int) -> torch.Tensor:
        """The composed rows of a table for its rows of free parts, [new tokens, width] each."""
        rows, begun = free.float(), self.get_buffer(f"begun_{index}")
        if self.training:
            kept = torch.rand(len(rows), 1, device=rows.device) >= self._dropout
            rows = torch.where(kept, rows, begun)
        projection = self.projections[index]
        kind = next(projection.parameters()).dtype
        text: torch.Tensor = projection(self.get_buffer("vectors").to(kind))
        return (rows + text).to(free.dtype)


@dataclass(frozen=True)
class _Table:
    """A parameter that holds the rows of new tokens, in the modules that share it."""

    holders: list[nn.Module]
    name: str
    new: slice

    @property
    def parameter(self) -> nn.Parameter:
        return self.holders[0].get_parameter(self.name)

    def show(self, rows: torch.Tensor) -> None:
        """Let its modules read other rows, which hide the parameter and leave it registered."""
        whole = self.parameter
        shown = torch.cat([whole[: self.new.start], rows, whole[self.new.stop :]])
        for holder in self.holders:
            holder.__dict__[self.name] = shown

    def hide(self) -> None:
        for holder in self.holders:
            holder.__dict__.pop(self.name, None)


def compose(
    model: PreTrainedModel,
    tokens: Sequence[npt.NDArray[np.int32]],
    vectors: Sequence[npt.NDArray[np.float32]],
    new: range,
    dropout: float,
    *,
    pretrained: bool = False,
) -> None:
    """Make the embeddings of a model's new tokens composed ones, at the input and the output.

    A pretrained model goes on from the rows that its new tokens have: these stay where a free part
    is left out, and projections begin at zero.

    Args:
        model: A model, or one that PEFT wrapped with the new tokens as trainable ones.
        tokens: The spelling of each item.
        vectors: float32 [items, dimensions] each, what some sources say of each item.
        new: The ids of the new tokens.
        dropout: How often a free part is left out in training.
        pretrained: Whether the rows say something already.

    Raises:
        ConfigError: The spellings have no new token, or the vectors of a source are all alike.
    """
    whitened = np.concatenate([_whiten(part) for part in vectors], axis=1)
    by_token = _by_token(tokens, whitened, new)
    scaled = torch.from_numpy(by_token / by_token.std())
    length = scaled.shape[1] ** 0.5
    tables = _tables(model, new)
    rows = [table.parameter[table.new].detach().clone() for table in tables]
    if pretrained:
        composition = Composition(new, scaled / length, rows, dropout, 0.0)
    else:
        nothing = [torch.zeros_like(part) for part in rows]
        composition = Composition(new, scaled, nothing, dropout, STD / length)
    model.add_module(NAME, composition.to(rows[0].device).train(model.training))


def begin_with_text(
    model: PreTrainedModel,
    tokenizer: "PreTrainedTokenizerBase",
    tokens: Sequence[npt.NDArray[np.int32]],
    texts: Sequence[str],
    new: range,
) -> None:
    """Let the new tokens of a pretrained model begin with what it knows of their items' text.

    Each begins as the mean embedding of the text's tokens, averaged over its items, as long as an
    average row of the table.

    Args:
        model: A pretrained model, in which the new tokens have their rows.
        tokenizer: Its tokenizer.
        tokens: The spelling of each item.
        texts: The text of each item.
        new: The ids of the new tokens.

    Raises:
        ConfigError: The spellings have no new token.
    """
    encoder = TextEncoder(tokenizer)
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    for table in {id(end.weight): end.weight.data for end in ends}.values():
        old = table[: new.start].float()
        pieces = (encoder.untrusted(text) for text in texts)
        rows = [old[ids].mean(0) if ids else old.mean(0) for ids in pieces]
        begun = torch.from_numpy(_by_token(tokens, torch.stack(rows).numpy(), new))
        length = old.norm(dim=1).mean() / begun.norm(dim=1, keepdim=True)
        table[new.start : new.stop] = (begun * length).to(table.dtype)


@contextmanager
def composed(model: PreTrainedModel) -> Iterator[None]:
    """Let a model compute with its composed rows, where it has some."""
    composition = getattr(model, NAME, None)
    if composition is None:
        yield
        return
    tables = _tables(model, composition.new)
    for index, table in enumerate(tables):
        table.show(composition(table.parameter[table.new], index))
    try:
        yield
    finally:
        for table in tables:
            table.hide()


def fold(model: PreTrainedModel) -> None:
    """Make the composed rows ordinary ones, for good."""
    composition = getattr(model, NAME, None)
    if composition is not None:
        composition.eval()
        with torch.no_grad():
            for index, table in enumerate(_tables(model, composition.new)):
                rows = table.parameter[table.new]
                rows.copy_(composition(rows, index))
        delattr(model, NAME)


def save_composition(model: PreTrainedModel, checkpoint: Path) -> None:
    """Write an adapter's projections to a checkpoint; a whole model's are among its weights."""
    composition = _beside_an_adapter(model)
    if composition is not None:
        save_file(composition.state_dict(), checkpoint / FILE)


def load_composition(model: PreTrainedModel, checkpoint: Path) -> None:
    """Read the projections that `save_composition` wrote."""
    composition = _beside_an_adapter(model)
    if composition is not None:
        composition.load_state_dict(load_file(checkpoint / FILE))


def _beside_an_adapter(model: PreTrainedModel) -> Composition | None:
    return getattr(model, NAME, None) if hasattr(model, "peft_config") else None


def _tables(model: PreTrainedModel, new: range) -> list[_Table]:
    """The tables with rows of new tokens, the input's first; PEFT holds these rows apart."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    tables: dict[int, _Table] = {}
    for end in ends:
        if hasattr(end, "token_adapter"):
            holder, name = end.token_adapter.trainable_tokens_delta, end.active_adapters[0]
            rows = slice(0, len(new))
        else:
            holder, name, rows = end, "weight", slice(new.start, new.stop)
        table = _Table([], name, rows)
        holders = tables.setdefault(id(holder.get_parameter(name)), table).holders
        if holder not in holders:
            holders.append(holder)
    return list(tables.values())


def _whiten(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Centre vectors and let all directions weigh nearly the same, but for the faintest."""
    centred = vectors - vectors.mean(axis=0)
    if np.allclose(centred, 0, atol=1e-6):
        raise ConfigError("model.embed: a source says the same of every item; leave it out")
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    whitened = left * (values / (values + SOFTNESS * values[0]))
    return np.asarray(whitened / whitened.std(), np.float32)


def _by_token(
    tokens: Sequence[npt.NDArray[np.int32]], vectors: npt.NDArray[np.float32], new: range
) -> npt.NDArray[np.float32]:
    """float32 [new tokens, dimensions]: the mean over a token's items."""
    lengths = [len(spelling) for spelling in tokens]
    places = np.concatenate(tokens).astype(np.int64) - new.start
    added = places >= 0
    if not added.any():
        raise ConfigError(
            "model.embed, model.begin: titles have no new tokens; spell by 'item' or 'semantic'"
        )
    owners = np.repeat(np.arange(len(tokens)), lengths)[added]
    sums = np.zeros((len(new), vectors.shape[1]), np.float32)
    np.add.at(sums, places[added], vectors[owners])
    counts = np.bincount(places[added], minlength=len(sums))
    return sums / np.maximum(counts, 1).astype(np.float32)[:, None]
