import math
from pathlib import Path

import pytest

from rec_gen.bundle import Bundle
from rec_gen.decoding.sampling import Sampling
from rec_gen.recommender import Recommender
from tests.toy import toy_dataset
from training.examples import each_target
from training.grpo import ItemRollout, RewardTrainer, rank_rewards
from training.reference_adapter import complete_reference, unfreeze_adapter
from training.refine_config import RefineConfig
from training.refine_trainers import reward_trainer

DRAWS = 3


def trainer_of(bundle: Bundle, folder: Path) -> RewardTrainer:
    config = RefineConfig(method="grpo", batch_size=4, max_steps=1, draws=DRAWS, kl=0.1)
    examples = list(each_target(toy_dataset().sequences()))[:8]
    unfreeze_adapter(bundle.model)
    trainer = reward_trainer(bundle, config, examples, folder, exclude_seen=True)
    complete_reference(bundle.model)
    trainer.rank = lambda: {"ndcg@10": 0.0}
    return trainer


def test_rewards_charge_likely_wrong_items_most() -> None:
    shares = [1, 1 / math.log2(3), 1 / math.log2(5)]
    wanted = [-share / sum(shares) for share in shares]
    rewards = rank_rewards([4, 7, 9, 2], 9)
    assert rewards == pytest.approx([wanted[0], wanted[1], 1, wanted[2]])
    assert rank_rewards([9, 7], 9) == [1, -1]
    assert rank_rewards([4, 7, 2], 9) == [0, 0, 0]


def test_completions_are_distinct_unseen_items_with_their_rewards(
    whole: Path, tmp_path: Path
) -> None:
    bundle = Bundle.load(whole)
    trainer = trainer_of(bundle, tmp_path)
    examples = list(each_target(toy_dataset().sequences()))[:8]
    rollout = ItemRollout(bundle, examples, DRAWS, exclude_seen=True)
    prompts = [str(row) for row in (5, 2) for _ in range(DRAWS)]
    rolled = rollout(prompts, trainer)
    ids, spelled = bundle.catalog.ids, [row.tolist() for row in bundle.spellings.tokens]
    histories = [[ids[position] for position in examples[row].history] for row in (5, 2)]
    answers = Recommender(Bundle.load(whole)).recommend(histories, k=DRAWS, sampling=Sampling())
    for group, row in enumerate((5, 2)):
        block = slice(group * DRAWS, (group + 1) * DRAWS)
        items = [spelled.index(tokens) for tokens in rolled["completion_ids"][block]]
        drawn = sorted(answers[group], key=lambda answer: -answer.score)
        assert [ids[item] for item in items] == [answer.item.id for answer in drawn]
        assert rolled["item_reward"][block] == rank_rewards(items, examples[row].target)
        prompt = bundle.renderer().render(examples[row].history).ids
        assert rolled["prompt_ids"][block] == [prompt] * DRAWS
    assert bundle.model.training


def test_the_divergence_begins_at_nothing(whole: Path, tmp_path: Path) -> None:
    trainer = trainer_of(Bundle.load(whole), tmp_path)
    trainer.train()
    assert trainer.state.log_history[0]["kl"] == pytest.approx(0, abs=1e-6)


def test_the_divergence_of_an_adapter_begins_at_nothing(adapted: Path, tmp_path: Path) -> None:
    trainer = trainer_of(Bundle.load(adapted), tmp_path)
    trainer.train()
    assert trainer.state.log_history[0]["kl"] == pytest.approx(0, abs=1e-6)
