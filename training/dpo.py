"""DPO and softmax-DPO on TRL's trainer, fed with token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset as Rows
from trl import DPOTrainer
from trl.trainer.utils import pad

from training.ranked_evaluation import RankedEvaluation

Batch = dict[str, torch.Tensor]


class PreferenceTrainer(RankedEvaluation, DPOTrainer):  # type: ignore[misc]
    """TRL's DPO on rows of `prompt_ids`, `chosen_ids` and `rejected_ids`.

    Source: Rafailov et al., Direct Preference Optimization (2023).
    """

    def _prepare_dataset(self, dataset: Rows, *args: Any) -> Rows:
        """Tokenise nothing: items are exact token sequences."""
        return dataset


class SoftmaxDPOTrainer(PreferenceTrainer):
    """DPO against several rejected items at once, rows of which hold a list; for one it is DPO.

    Source: Chen et al., On Softmax Direct Preference Optimization for Recommendation (2024).
    """

    def __init__(self, *, negatives: int, pad_token_id: int, **options: Any) -> None:
        super().__init__(data_collator=SoftmaxCollator(pad_token_id), **options)
        self._items = 1 + negatives

    def _compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False
    ) -> torch.Tensor:
        """The cross-entropy of the chosen item among all, by their implicit rewards."""
        output = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100),
            fused_lm_head=True,
        )
        reference = torch.cat(self.compute_ref_log_probs(self.ref_model or model, inputs))
        rewards = self.beta * (output.log_probs.sum(dim=1) - reference)
        loss: torch.Tensor = -rewards.view(-1, self._items).log_softmax(dim=1)[:, 0].mean()
        return loss


@dataclass(frozen=True)
class SoftmaxCollator:
    """Pads a batch: for each row the chosen item and then the rejected ones, after its prompt.

    Attributes:
        pad_token_id: What rows are filled up with.
    """

    pad_token_id: int

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Batch:
        """Make `input_ids`, `attention_mask`, `completion_mask`: int64 [rows * items, tokens]."""
        pairs = [
            (row["prompt_ids"], item)
            for row in rows
            for item in (row["chosen_ids"], *row["rejected_ids"])
        ]
        ids = [torch.tensor(prompt + item) for prompt, item in pairs]
        answers = [torch.tensor([0] * len(prompt) + [1] * len(item)) for prompt, item in pairs]
        return {
            "input_ids": pad(ids, padding_value=self.pad_token_id),
            "attention_mask": pad([torch.ones_like(row) for row in ids], padding_value=0),
            "completion_mask": pad(answers, padding_value=0),
        }
