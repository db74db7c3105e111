"""The network of SASRec, its loss, and the windows that it learns from."""

from collections.abc import Iterable, Iterator
from math import log

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from rec_gen.counts import Histories, Scores
from rec_gen.data.dataset import Sequence

IGNORED = -100
"""The target where nothing is learnt."""


class SelfAttention(nn.Module):
    """Pre-norm blocks of causal attention over items and their places in a window.

    Attributes:
        items: The embeddings, float32 [items, width], which are also the weights of the output.
        places: Those of the places, float32 [window, width].
    """

    def __init__(
        self, items: int, window: int, width: int, layers: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.items = nn.Embedding(items, width)
        self.places = nn.Embedding(window, width)
        self.dropout = nn.Dropout(dropout)
        block = nn.TransformerEncoderLayer(
            width, heads, width, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(
            block, layers, nn.LayerNorm(width), enable_nested_tensor=False
        )
        for weight in self.parameters():
            if weight.dim() > 1:  # the blocks are copies of one
                nn.init.trunc_normal_(weight, std=0.02)

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """The states after each item, float32 [n, m, width].

        Args:
            items: int64 [n, m], catalog positions, oldest first; any past a row's end, since no
                state depends on what comes later.
            lengths: int64 [n], the items of each row; the last one's place is the window's last.
        """
        window, longest = self.places.num_embeddings, items.shape[1]
        places = window - lengths[:, None] + torch.arange(longest)
        states = self.items(items) + self.places(places.clamp(max=window - 1))
        mask = nn.Transformer.generate_square_subsequent_mask(longest)
        found: Tensor = self.blocks(self.dropout(states), mask, is_causal=True)
        return found

    @torch.inference_mode()
    def score(self, histories: Histories) -> Scores:
        """Score the catalog, without dropout; the network is left in that mode.

        Args:
            histories: int32 [m] catalog positions each, oldest first, none of them empty.

        Returns:
            float32 [n, items], higher is better.
        """
        self.eval()
        window = self.places.num_embeddings
        recent = [torch.from_numpy(history[-window:].astype(np.int64)) for history in histories]
        lengths = torch.tensor([len(items) for items in recent])
        states = self(pad_sequence(recent, batch_first=True), lengths)
        last = states[torch.arange(len(lengths)), lengths - 1]
        scores: Scores = (last @ self.items.weight.T).numpy()
        return scores


def sampled_softmax(states: Tensor, targets: Tensor, table: Tensor, negatives: Tensor) -> Tensor:
    """Cross-entropy of each target against itself and negatives that all rows share.

    Of m negatives each stands for items / m of the catalog, so their sum is that of all other items
    in expectation; with all items as negatives this is the softmax. A row's target is left out of
    its negatives.

    Source: Jean et al., "On using very large target vocabulary for neural machine translation",
    2015.

    Args:
        states: float32 [n, width].
        targets: int64 [n], catalog positions.
        table: float32 [items, width], the embeddings.
        negatives: int64 [m], different catalog positions, drawn uniformly.

    Returns:
        float32 [], the mean over rows.
    """
    own = (states * table[targets]).sum(dim=1, keepdim=True)
    others = states @ table[negatives].T + log(len(table) / len(negatives))
    others = others.masked_fill(negatives == targets[:, None], -torch.inf)
    first = torch.zeros_like(targets)
    return functional.cross_entropy(torch.cat([own, others], dim=1), first)


class Windows:
    """Training sequences, cut so that each interaction but a first one is a target once.

    Attributes:
        inputs: int64 [m] each, catalog positions, oldest first, at most `window`.
        targets: int64 [m] each, what came next, `IGNORED` where it is not learnt.
        lengths: int64 [n], each m.
    """

    def __init__(self, sequences: Iterable[Sequence], window: int) -> None:
        self.inputs, self.targets = [], []
        for sequence in sequences:
            items = torch.from_numpy(sequence.items.astype(np.int64))
            targets = torch.where(torch.from_numpy(sequence.targets), items, IGNORED)
            for stop in range(len(items), 1, -window):
                start = max(1, stop - window)
                if sequence.targets[start:stop].any():
                    self.inputs.append(items[start - 1 : stop - 1])
                    self.targets.append(targets[start:stop])
        self.lengths = torch.tensor([len(items) for items in self.inputs])

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """All windows once, those of like length together, the batches in a random order.

        Args:
            size: About how many items the windows of a batch hold together.

        Yields:
            Inputs and targets, int64 [rows, the longest of these], and lengths, int64 [rows].
        """
        order = torch.randperm(len(self))
        order = order[self.lengths[order].argsort(stable=True)]
        sizes = (self.lengths[order].cumsum(0) // size).bincount()
        batches = torch.split(order, sizes[sizes > 0].tolist())
        for batch in torch.randperm(len(batches)).tolist():
            rows = batches[batch]
            inputs = [self.inputs[row] for row in rows.tolist()]
            targets = [self.targets[row] for row in rows.tolist()]
            yield (
                pad_sequence(inputs, batch_first=True),
                pad_sequence(targets, batch_first=True, padding_value=IGNORED),
                self.lengths[rows],
            )
