"""Sampling items without replacement: the search's scores become Gumbels, drawn top down."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import torch

from rec_gen.decoding.ragged import group_logsumexp, group_max
from rec_gen.decoding.rows import Rows
from rec_gen.errors import DecodingError

_ROOT_EDGE = -1


@dataclass(frozen=True)
class Sampling:
    """Draw items without replacement instead of taking the likeliest.

    At each branch of the trie the model's logits, divided by the temperature, are normalised over
    the branches that lead to eligible items, whichever score is returned. An item's chance is the
    product along its path.

    Attributes:
        temperature: 1 follows the model; less comes nearer to the likeliest items, more spreads.
        seed: The same seed and prompt draw the same items; another seed draws anew.
    """

    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise DecodingError(f"temperature is {self.temperature}: give a number above 0")


class GumbelTree:
    """The perturbed log-probabilities of all prefixes, none of which exceeds its parent's.

    The noise is a hash of seed, prompt and edge, so that neither the order of the search nor the
    other requests of a batch change it.

    Source: Kool, van Hoof & Welling, Stochastic Beams and Where to Find Them (2019).
    """

    def __init__(
        self, sampling: Sampling, prompts: Sequence[Sequence[int]], device: torch.device
    ) -> None:
        self._temperature = sampling.temperature
        keys = [request_key(sampling.seed, prompt) for prompt in prompts]
        self._keys = torch.tensor(keys, dtype=torch.int64, device=device)

    def root(self, rows: Rows) -> Rows:
        """The rows at the root, with the largest Gumbel of each request's items as their score."""
        edge = torch.full_like(rows.request, _ROOT_EDGE)
        drawn = rows.score.new_zeros(len(rows), 2)
        return replace(rows, score=_gumbels(self._keys[rows.request], edge), drawn=drawn)

    def children(
        self, nodes: Rows, parent: torch.Tensor, edge: torch.Tensor, step: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the Gumbels of all live edges of nodes, given that the largest is the node's own.

        Args:
            nodes: The nodes.
            parent: int64 [edges], the node of each edge.
            edge: int64 [edges].
            step: float64 [edges], the log-probability of each edge; a constant may be added for
                all edges of a node.

        Returns:
            The `score` and `drawn` of the edges' rows.
        """
        if nodes.drawn is None:
            raise TypeError("the nodes are not drawn")
        # the best edge stays at 0 however near to 0 the temperature is
        chance = (step - group_max(step, parent, len(nodes))[parent]) / self._temperature
        chance = chance - group_logsumexp(chance, parent, len(nodes))[parent]
        before = nodes.drawn[parent]
        drawn = before + torch.stack([step, chance], dim=1)
        free = drawn[:, 1] + _gumbels(self._keys[nodes.request[parent]], edge)
        largest = group_max(free, parent, len(nodes))[parent]
        return _conditioned(free, largest, nodes.score[parent]), drawn


def _conditioned(free: torch.Tensor, largest: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Gumbels moved so that the largest of a group meets its target (appendix B.3 of the paper)."""
    below = torch.where(free == largest, -torch.inf, torch.log(-torch.expm1(free - largest)))
    gap = target - free + below
    moved = target - gap.clamp(min=0) - torch.log1p(torch.exp(-gap.abs()))
    return torch.where(free == -torch.inf, -torch.inf, moved)


def request_key(seed: int, prompt: Sequence[int]) -> int:
    """What the draws of a request depend on, of 64 bits with a sign: its prompt and a seed."""
    tokens = np.asarray(prompt, dtype="<i8").tobytes()
    digest = blake2b(f"{seed}:".encode() + tokens, digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _gumbels(keys: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """A standard Gumbel for each pair of key and edge, float64."""
    bits = _mixed(_mixed(keys) + edges * _signed(0x9E3779B97F4A7C15))
    uniform = (_shifted(bits, 12).double() + 0.5) * 2.0**-52
    return -torch.log(-torch.log(uniform))


def _mixed(values: torch.Tensor) -> torch.Tensor:
    """The finalizer of SplitMix64 (Steele, Lea & Flood 2014) on int64 that wrap around."""
    values = (values ^ _shifted(values, 30)) * _signed(0xBF58476D1CE4E5B9)
    values = (values ^ _shifted(values, 27)) * _signed(0x94D049BB133111EB)
    return values ^ _shifted(values, 31)


def _shifted(values: torch.Tensor, bits: int) -> torch.Tensor:
    """A right shift of 64 bits without a sign."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
