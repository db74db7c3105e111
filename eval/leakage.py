"""What a model betrays of those that it was trained on: exposure and membership.

Sources: Carlini et al., "The Secret Sharer: Evaluating and Testing Unintended Memorization in
Neural Networks", 2019, for canaries and exposure; Yeom et al., "Privacy Risk in Machine Learning",
2018, for the attack by loss; Watson et al., "On the Importance of Difficulty Calibration in
Membership Inference Attacks", 2022, for that by the loss less a reference model's; Carlini et al.,
"Membership Inference Attacks From First Principles", 2022, for the rate at few false alarms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from eval.intervals import Interval, resampled_intervals
from eval.rating_metrics import auc
from rec_gen.bundle import Bundle
from rec_gen.errors import BundleError
from rec_gen.metrics import Floats

FALSE_ALARMS = 0.01
BATCH = 64


@dataclass(frozen=True)
class Reading:
    """How a model reads one user's items, each after those before it.

    Attributes:
        losses: float64 [n], -ln of each item's probability among the catalog's items, in nats.
        ranks: int64 [n], its place among them, from 1; a tie counts as half a place each.
    """

    losses: Floats
    ranks: Floats

    @property
    def loss(self) -> float:
        """The mean loss, in nats an item."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class Membership:
    """How well an attack tells members from others.

    Attributes:
        auc: The chance that a member looks more like one than another user; 0.5 is guessing.
        found: The share of members that it finds where at most 1 % of the others are taken for
            one; 0.01 is guessing.
    """

    auc: Interval
    found: Interval


def read_users(bundle: Bundle, histories: Sequence[npt.NDArray[np.int32]]) -> list[Reading]:
    """Read users' items as training did: the latest window, each item after those before it.

    Args:
        bundle: A model that spells each item in one token, oldest first.
        histories: int32 [n] catalog positions each, at least two.

    Returns:
        One reading a user; the first item of a window, before which nothing stands, is left out.

    Raises:
        BundleError: An item has several tokens.
    """
    if any(len(spelling) > 1 for spelling in bundle.spellings.tokens):
        raise BundleError(
            f"the bundle '{bundle.manifest.name}' spells items in several tokens: leaks are "
            'measured with spelling.scheme = "item"'
        )
    items = torch.from_numpy(np.concatenate(bundle.spellings.tokens)).long()
    renderer, readings = bundle.renderer(), []
    for start in range(0, len(histories), BATCH):
        part = histories[start : start + BATCH]
        prompts = [renderer.render(history[:-1]) for history in part]
        logits = _logits(bundle, [prompt.ids for prompt in prompts])
        for row, (history, prompt) in enumerate(zip(part, prompts, strict=True)):
            # the token before an item's own is where it is foretold
            ends = [*(span.start for span in prompt.spans), len(prompt.ids)]
            places = [*(span.place for span in prompt.spans), len(history) - 1]
            scores = logits[row, torch.tensor(ends[1:]) - 1][:, items].double()
            own = torch.from_numpy(history[places[1:]]).long()[:, None]
            chosen = scores.gather(1, own)
            above, level = (scores > chosen).sum(1), (scores == chosen).sum(1)
            losses = -scores.log_softmax(1).gather(1, own)[:, 0]
            readings.append(Reading(losses.numpy(), (above + (level + 1) / 2).double().numpy()))
    return readings


def exposure(reading: Reading, items: int) -> float:
    """How much better than by chance a model ranks a canary's items, in bits an item.

    Items that were drawn evenly and never learnt have 1 / ln 2 = 1.44 bits in the mean; log2 of the
    number of items is the most.

    Args:
        reading: How the model reads the canary.
        items: The catalog's.
    """
    return float(np.log2(items) - np.log2(reading.ranks).mean())


def attack(
    members: Floats, others: Floats, member_names: Sequence[str], other_names: Sequence[str]
) -> Membership:
    """Tell members by how much they look like one.

    Args:
        members: float64 [n], scores of the members, higher is more like one.
        others: float64 [m], of users that no training read.
        member_names: Whose scores they are, for the resampling.
        other_names: The same of the others.
    """
    scores = np.concatenate([members, others])
    inside = np.arange(len(scores)) < len(members)

    def measure(rows: npt.NDArray[np.int64]) -> list[float]:
        drawn, member = scores[rows], inside[rows]
        bound = np.quantile(drawn[~member], 1 - FALSE_ALARMS, method="higher")
        return [auc(member, drawn), float((drawn[member] > bound).mean())]

    found = resampled_intervals(measure, [*member_names, *other_names], seed=0)
    return Membership(*found)


@torch.inference_mode()
def _logits(bundle: Bundle, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
    """The logits at each token, float32 [prompts, length, vocabulary], padded on the right."""
    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt)
        mask[row, : len(prompt)] = 1
    device = bundle.model.device
    output = bundle.model(input_ids=ids.to(device), attention_mask=mask.to(device))
    logits: torch.Tensor = output.logits.float().cpu()
    return logits
