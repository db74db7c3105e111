"""Cross-entropy over the live children of the trie: the training twin of the `catalog` score."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

ROOT = 0
NO_LABEL = -100


class CatalogLoss:
    """Renormalises each token of an item over the tokens that could stand in its place.

    A forced token has a loss of zero, and no logit outside of the catalog is computed.
    """

    def __init__(
        self,
        spellings: Sequence[npt.NDArray[np.int32]],
        smoothing: float,
        *,
        text_answers: bool = False,
        text_weight: float = 1.0,
    ) -> None:
        """Index the spellings.

        Args:
            spellings: The token ids of each item; none begins another.
            smoothing: The share of each label that is spread over the live children.
            text_answers: Whether labels may be text, too, in tokens that no item has; these are
                learnt over the whole vocabulary.
            text_weight: What the loss of such a label is multiplied by.
        """
        self._smoothing, self._text_answers = smoothing, text_answers
        self._text_weight = text_weight
        self._tokens = torch.from_numpy(np.unique(np.concatenate(spellings))).long()
        self._next: dict[tuple[int, int], int] = {}
        children: list[set[int]] = [set()]
        for spelling in spellings:
            node = ROOT
            for token in spelling[:-1].tolist():
                children[node].add(token)
                if (node, token) not in self._next:
                    self._next[node, token] = len(children)
                    children.append(set())
                node = self._next[node, token]
            children[node].add(int(spelling[-1]))
        self._children = [self._columns(torch.tensor(sorted(tokens))) for tokens in children]

    def __call__(
        self,
        hidden: torch.Tensor,
        head: nn.Linear,
        labels: torch.Tensor,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The summed loss of all labels.

        Args:
            hidden: [batch, length, width], the states before the head.
            head: The LM head.
            labels: int64 [batch, length]; items in full, and negative where there is none.
            weights: float32 [batch, length], what each label's loss is multiplied by.
        """
        if not self._text_answers:
            return self._live_children(hidden, head, labels, weights)
        items = torch.isin(labels, self._tokens.to(labels.device))
        parts = (
            self._live_children(hidden, head, labels.masked_fill(~items, NO_LABEL), weights),
            self._whole_vocabulary(hidden, head, labels.masked_fill(items, NO_LABEL), weights),
        )
        return parts[0] + self._text_weight * parts[1]

    def weigh(self, labels: torch.Tensor) -> torch.Tensor:
        """What labels weigh together, float32: an item's 1 each, those in text their weight."""
        labels = labels[:, 1:]
        items = torch.isin(labels, self._tokens.to(labels.device))
        text = (labels >= 0) & ~items
        return items.sum().float() + self._text_weight * text.sum()

    def _live_children(
        self,
        hidden: torch.Tensor,
        head: nn.Linear,
        labels: torch.Tensor,
        weights: torch.Tensor | None,
    ) -> torch.Tensor:
        nodes = self._nodes(labels)
        shifted = labels[:, 1:]
        wanted = shifted >= 0
        used = self._tokens.to(hidden.device)
        bias = None if head.bias is None else head.bias[used]
        logits = nn.functional.linear(hidden[:, :-1][wanted], head.weight[used], bias).float()
        chosen_at = nodes.to(hidden.device)[:, 1:][wanted]
        visited, place = torch.unique(chosen_at, return_inverse=True)
        live = torch.zeros(len(visited), len(used), dtype=torch.bool, device=hidden.device)
        for row, node in zip(live, visited.tolist(), strict=True):
            row[self._children[node].to(hidden.device)] = True
        columns = self._columns(shifted[wanted].cpu()).to(hidden.device)
        losses = self._cross_entropies(logits, live, place, columns)
        return (losses if weights is None else losses * weights[:, 1:][wanted]).sum()

    def _whole_vocabulary(
        self,
        hidden: torch.Tensor,
        head: nn.Linear,
        labels: torch.Tensor,
        weights: torch.Tensor | None,
    ) -> torch.Tensor:
        wanted = labels[:, 1:] >= 0
        states = hidden[:, :-1][wanted]
        logits = nn.functional.linear(states, head.weight, head.bias).float()
        losses = nn.functional.cross_entropy(
            logits, labels[:, 1:][wanted], reduction="none", label_smoothing=self._smoothing
        )
        return (losses if weights is None else losses * weights[:, 1:][wanted]).sum()

    def _cross_entropies(
        self, logits: torch.Tensor, live: torch.Tensor, place: torch.Tensor, columns: torch.Tensor
    ) -> torch.Tensor:
        everywhere = bool(live.all())
        if not everywhere:
            logits = logits.masked_fill(~live[place], -torch.inf)
        log_probs = logits.log_softmax(1)
        losses = -log_probs.gather(1, columns[:, None])[:, 0]
        if self._smoothing:
            if not everywhere:
                log_probs = log_probs.masked_fill(~live[place], 0)
            even = -log_probs.sum(1) / live.sum(1)[place]
            losses = (1 - self._smoothing) * losses + self._smoothing * even
        return losses

    def _nodes(self, labels: torch.Tensor) -> torch.Tensor:
        """The node that each label is chosen at, int64 [batch, length]."""
        rows = []
        for row in labels.tolist():
            node, nodes = ROOT, []
            for token in row:
                nodes.append(node)
                node = self._next.get((node, token), ROOT)
            rows.append(nodes)
        return torch.tensor(rows)

    def _columns(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.searchsorted(self._tokens, tokens)


def summed(
    losses: Sequence[CatalogLoss],
    hidden: torch.Tensor,
    head: nn.Linear,
    labels: torch.Tensor,
    weights: torch.Tensor | None,
    domains: torch.Tensor | None,
) -> torch.Tensor:
    """The summed loss of all labels, each normalised over the catalog of its row.

    Args:
        losses: The loss of each catalog.
        hidden: [batch, length, width], the states before the head.
        head: The LM head.
        labels: int64 [batch, length].
        weights: float32 [batch, length], what each label's loss is multiplied by.
        domains: int64 [batch], the number of each row's catalog; None is the first one's.
    """
    if domains is None:
        return losses[0](hidden, head, labels, weights)
    total = hidden.new_zeros((), dtype=torch.float32)
    for number in sorted(set(domains.tolist())):
        own = domains == number
        weighed = None if weights is None else weights[own]
        total = total + losses[number](hidden[own], head, labels[own], weighed)
    return total


def states_of(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The states before the LM head, [batch, length, width], through a wrapped model or not."""
    output = model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs.get("attention_mask"),
        position_ids=inputs.get("position_ids"),
        use_cache=False,
        output_hidden_states=True,
        logits_to_keep=1,
    )
    states: torch.Tensor = output.hidden_states[-1]
    return states
