"""SASRec: self-attention over the items of a history, trained with a sampled softmax."""

from copy import deepcopy
from math import isfinite
from typing import TYPE_CHECKING, Self

import numpy as np
from rich.console import Console
from rich.progress import track

from rec_gen.counts import Histories, Scores
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.errors import DataError, ModelError
from rec_gen.metrics import Ranks, ndcg

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from eval.sasrec_model import SelfAttention, Windows

VALIDATED = 4000
"""Validation examples that an epoch is chosen on at most: one sample for all of them."""
BATCH = 256
"""Validation examples at a time."""


class SASRec:
    """A causal transformer over item embeddings, which also score the next item.

    It learns from training sequences. The epoch with the best NDCG@10 on the validation split is
    kept, so on that split its numbers flatter it a little. A history without an item has equal
    scores for all items.

    Source: Kang and McAuley, "Self-attentive sequential recommendation", 2018; for the sampled
    softmax in place of one negative a positive, which is overconfident, Klenitskiy and Vasilev,
    "Turning dross into gold loss", 2023, and Petrov and Macdonald, "gSASRec", 2023. Learning rate,
    dropout, negatives and batch size were chosen, of a few, on the validation splits of
    MovieLens-100K and Amazon Industrial.

    Attributes:
        window: The most recent items that are read.
        width: The length of a vector.
        layers: The number of blocks.
        heads: Of each block's attention.
        dropout: Of embeddings and inside blocks.
        negatives: Items drawn for each step, all where the catalog has no more.
        batch_size: Interactions of a step, about.
        learning_rate: Adam's.
        epochs: Passes over the training sequences at most.
        patience: Epochs without a better NDCG@10 after which training ends.
        seed: Of first weights, order, dropout and negatives.
    """

    name = "SASRec"

    def __init__(
        self,
        window: int = 50,
        width: int = 64,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.2,
        negatives: int = 512,
        batch_size: int = 1600,
        learning_rate: float = 1e-3,
        epochs: int = 200,
        patience: int = 5,
        seed: int = 0,
    ) -> None:
        self.window = window
        self.width = width
        self.layers = layers
        self.heads = heads
        self.dropout = dropout
        self.negatives = negatives
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.patience = patience
        self.seed = seed

    def fit(self, dataset: Dataset) -> Self:
        """Train; shows a progress bar on stderr, then which epoch was kept.

        Raises:
            DataError: There is something to learn, and no validation interaction to stop by.
            ModelError: The loss is not a number.
        """
        import torch

        from eval.sasrec_model import SelfAttention, Windows

        self._items = len(dataset.catalog)
        self._network: SelfAttention | None = None
        windows = Windows(dataset.sequences(), self.window)
        if not len(windows):
            return self
        examples = _validation_examples(dataset)
        console = Console(stderr=True)
        best, kept, weights = -1.0, 0, {}
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(self.seed)
            self._network = SelfAttention(
                self._items, self.window, self.width, self.layers, self.heads, self.dropout
            )
            optimizer = torch.optim.Adam(self._network.parameters(), self.learning_rate)
            for epoch in track(
                range(1, self.epochs + 1),
                f"training {self.name}",
                console=console,
                transient=True,
                disable=not console.is_terminal,
            ):
                loss = self._train_epoch(self._network, optimizer, windows)
                if not isfinite(loss):
                    raise ModelError(
                        f"{dataset.name}: SASRec: the loss of epoch {epoch} is {loss}: lower its "
                        "learning rate, or leave sasrec out of --baselines"
                    )
                found = self._validate(examples)
                if found > best:
                    best, kept, weights = found, epoch, deepcopy(self._network.state_dict())
                if epoch - kept == self.patience:
                    break
        self._network.load_state_dict(weights)
        console.print(
            f"{self.name}: validation NDCG@10 {best:.4f} in epoch {kept} of {epoch}",
            highlight=False,
        )
        return self

    def score(self, histories: Histories) -> Scores:
        """Score the catalog for each history; see `eval.baselines.Baseline.score`."""
        scores = np.zeros((len(histories), self._items), np.float32)
        rows = [row for row, history in enumerate(histories) if len(history)]
        if self._network and rows:
            scores[rows] = self._network.score([histories[row] for row in rows])
        return scores

    def _train_epoch(
        self, network: "SelfAttention", optimizer: "Optimizer", windows: "Windows"
    ) -> float:
        """Take a step for each batch of windows; returns the mean loss of the steps."""
        import torch

        from eval.sasrec_model import IGNORED, sampled_softmax

        network.train()
        losses = []
        for items, targets, lengths in windows.batches(self.batch_size):
            learnt = targets != IGNORED
            negatives = torch.randperm(self._items)[: self.negatives]
            loss = sampled_softmax(
                network(items, lengths)[learnt], targets[learnt], network.items.weight, negatives
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    def _validate(self, examples: list[Example]) -> float:
        """The mean NDCG@10 where seen items are left out, unless one of them is the target."""
        found = []
        for start in range(0, len(examples), BATCH):
            part = examples[start : start + BATCH]
            scores = self.score([example.history for example in part])
            for row, example in zip(scores, part, strict=True):
                row[example.history[example.history != example.target]] = -np.inf
            targets = np.array([example.target for example in part])
            found.append(ndcg(Ranks.of_scores(scores, targets), 10))
        return float(np.concatenate(found).mean())


def _validation_examples(dataset: Dataset) -> list[Example]:
    """At most `VALIDATED` of them, the same each time, those of like history together."""
    examples = list(dataset.examples(Split.VALID))
    if not examples:
        raise DataError(
            f"{dataset.name}: SASRec: the validation split, which says when its training ends, "
            "holds no interaction: leave sasrec out of --baselines"
        )
    order = np.random.default_rng(0).permutation(len(examples))[:VALIDATED]
    return sorted((examples[row] for row in order), key=lambda example: len(example.history))
