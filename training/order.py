"""The order of the examples: a function of seed and epoch, the same in every process."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler


class LengthGroupedOrder(LengthGroupedSampler):  # type: ignore[misc]
    """Batches of nearly the same length; transformers' own draws from each process's global state.

    That state differs between processes, and after a run was resumed.
    """

    def __init__(self, batch_size: int, lengths: list[int], seed: int) -> None:
        """Order examples.

        Args:
            batch_size: The examples of one step, in all processes together.
            lengths: The length of each example.
            seed: Seeds the order.
        """
        super().__init__(batch_size, lengths=lengths)
        self._seed, self._epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Begin another epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed(self._seed + self._epoch)
        return iter(super().__iter__())


class OrderCallback(TrainerCallback):  # type: ignore[misc]
    """Tells the order which epoch begins.

    Where several processes go on within an epoch, accelerate reaches no sampler but its own.
    """

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: DataLoader[Any],
        **kwargs: Any,
    ) -> None:
        """Set the epoch."""
        batches: Any = train_dataloader.batch_sampler
        while hasattr(batches, "batch_sampler"):
            batches = batches.batch_sampler
        batches.sampler.set_epoch(int(state.epoch or 0))
