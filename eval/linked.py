"""What counting says of the item that a dialogue comes to."""

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from rec_gen.counts import Scores
from rec_gen.data.dataset import Dataset, Dialogue
from rec_gen.links import DECAY, Links
from rec_gen.prompting import Positions

SAMPLE = 2000
"""Training examples that weights are fitted on at most."""
STEPS = 60
"""Steps of the fit at most."""


class Counted(Protocol):
    """A recommender that scores every item of the catalog for a dialogue."""

    @property
    def name(self) -> str:
        """The name in tables."""

    def fit(self, dataset: Dataset) -> Self:
        """Learn from the training sequences of a data set."""

    def score(self, histories: Sequence[Positions], dialogues: Sequence[Dialogue]) -> Scores:
        """Score the catalog.

        Args:
            histories: Per example, the catalog positions of the items that were named, oldest
                first; may be empty.
            dialogues: Per example, what was said.

        Returns:
            float32 [n, items], higher is better.
        """


class LastMentioned:
    """The item that was named last, and behind it the popular ones."""

    name = "last mentioned"

    def fit(self, dataset: Dataset) -> Self:
        """Count how often each item is recommended in training."""
        self._counts = _popularity(dataset)
        return self

    def score(self, histories: Sequence[Positions], dialogues: Sequence[Dialogue]) -> Scores:
        """Score the catalog; see `Counted.score`."""
        scores = np.tile(self._counts, (len(dialogues), 1))
        for row, history in zip(scores, histories, strict=True):
            if len(history):
                row[history[-1]] = self._counts.max() + 1
        return scores


class LinkedCounts:
    """Counts and links of each item, weighed by a conditional logit.

    An item counts by being named, by the values that it shares with what was named (`Links`) and by
    its popularity. The weights of these few features are those that make the recommended items of
    training likeliest, each left out of its own count. Source: McFadden, "Conditional logit
    analysis of qualitative choice behavior", 1974.

    Attributes:
        weights: float32 [features], once fitted.
    """

    name = "counted links"

    def fit(self, dataset: Dataset) -> Self:
        """Count the training turns and fit the weights."""
        import torch

        self._links, self._counts = Links(dataset.catalog), _popularity(dataset)
        examples = [example for each in dataset.sequences() for example in each.examples()]
        if len(examples) > SAMPLE:
            chosen = np.random.default_rng(0).choice(len(examples), SAMPLE, replace=False)
            examples = [examples[row] for row in np.sort(chosen)]
        features = torch.from_numpy(
            np.stack(
                [
                    self._features(each.history, each.dialogue or Dialogue(()), each.target)
                    for each in examples
                ]
            )
        )
        targets = torch.tensor([example.target for example in examples])
        weights = torch.zeros(features.shape[2], requires_grad=True)
        optimizer = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            value = torch.nn.functional.cross_entropy(features @ weights, targets)
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        self.weights = weights.detach().numpy()
        return self

    def score(self, histories: Sequence[Positions], dialogues: Sequence[Dialogue]) -> Scores:
        """The log-probability of each item; see `Counted.score`."""
        pairs = zip(histories, dialogues, strict=True)
        scores = np.stack([self._features(*pair) @ self.weights for pair in pairs])
        best = scores.max(axis=1, keepdims=True)
        total = best + np.log(np.exp(scores - best).sum(axis=1, keepdims=True))
        return np.asarray(scores - total, np.float32)

    def _features(
        self,
        history: Positions,
        dialogue: Dialogue,
        target: int | None = None,
    ) -> npt.NDArray[np.float32]:
        """What is counted of each item, float32 [items, features]; a target is left out once."""
        counts, named = self._counts.copy(), np.zeros((len(self._counts), 3), np.float32)
        if target is not None:
            counts[target] -= 1
        for age, item in enumerate(reversed(list(history))):
            named[item, 0] += age == 0
            named[item, 1] = max(named[item, 1], DECAY**age)
            named[item, 2] = 1
        parts = (
            named,
            self._links.score(dialogue.entities, ())[:, None],
            self._links.score((), history)[:, None],
            np.log(counts + 0.3)[:, None],
            (counts == 0)[:, None],
        )
        return np.concatenate(parts, axis=1, dtype=np.float32)


def _popularity(dataset: Dataset) -> npt.NDArray[np.float32]:
    """How often each item is recommended in training, float32 [items]."""
    targets = [sequence.items[sequence.targets] for sequence in dataset.sequences()]
    items = np.concatenate([np.zeros(0, np.int32), *targets])
    return np.bincount(items, minlength=len(dataset.catalog)).astype(np.float32)
