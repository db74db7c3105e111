"""GRPO on TRL's trainer: every completion is an item that the constrained search has drawn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from trl import GRPOTrainer

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Example
from rec_gen.decoding.sampling import Sampling
from rec_gen.recommender import Recommender
from training.examples import prompt_of
from training.ranked_evaluation import RankedEvaluation


class RewardTrainer(RankedEvaluation, GRPOTrainer):  # type: ignore[misc]
    """TRL's GRPO, evaluated by ranking.

    Source: Shao et al., DeepSeekMath (2024).
    """


class ItemRollout:
    """Draws distinct items for each history and rewards them; TRL calls it instead of generating.

    A prompt is the index of its example, as text, and stands once for each draw.
    """

    def __init__(
        self, bundle: Bundle, examples: Sequence[Example], draws: int, *, exclude_seen: bool
    ) -> None:
        self._bundle, self._recommender = bundle, Recommender(bundle)
        self._renderer = bundle.renderer()
        self._examples, self._draws, self._exclude_seen = examples, draws, exclude_seen

    def __call__(self, prompts: Sequence[str], trainer: GRPOTrainer) -> dict[str, Any]:
        """Draw without replacement, by the model as it is now and the trainer's seed and step."""
        examples = [self._examples[int(prompt)] for prompt in prompts[:: self._draws]]
        ids, tokens = self._bundle.catalog.ids, self._bundle.spellings.tokens
        trainer.model.eval()
        answers = self._recommender.recommend(
            [[ids[position] for position in example.history] for example in examples],
            k=self._draws,
            exclude_seen=self._exclude_seen,
            dialogues=[example.dialogue for example in examples],
            sampling=Sampling(seed=trainer.args.seed + trainer.state.global_step),
        )
        trainer.model.train()
        rows: dict[str, Any] = {"prompt_ids": [], "completion_ids": [], "item_reward": []}
        for example, answer in zip(examples, answers, strict=True):
            ranked = sorted(answer, key=lambda drawn: -drawn.score)
            items = [self._bundle.catalog.position(drawn.item.id) for drawn in ranked]
            rows["prompt_ids"] += [prompt_of(example, self._renderer).ids] * len(items)
            rows["completion_ids"] += [tokens[item].tolist() for item in items]
            rows["item_reward"] += rank_rewards(items, example.target)
        return {**rows, "logprobs": None}


def rank_rewards(items: Sequence[int], target: int) -> list[float]:
    """Reward the true item, and charge the others the more the likelier the model holds them.

    The true item is worth 1. The others lose in proportion to the discount of their place in
    NDCG, 1 in all. Items among which the true one is not are worth 0: nothing can be learnt.

    Args:
        items: At least two distinct catalog positions, the likeliest first.
        target: The true one.

    Source: after the rule and ranking rewards of ReRe (2025) and MiniOneRec (2025).
    """
    if target not in items:
        return [0.0] * len(items)
    discounts = 1 / np.log2(np.arange(len(items)) + 2)
    discounts[items.index(target)] = 0
    rewards = -discounts / discounts.sum()
    rewards[items.index(target)] = 1
    return [float(reward) for reward in rewards]


def item_reward(item_reward: list[float], **_: Any) -> list[float]:
    """The rewards that came with the draws."""
    return item_reward
