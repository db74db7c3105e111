"""DP-SGD on users: Opacus' sampling, clipping and noise in the trainer that is there.

Source: Abadi et al., "Deep Learning with Differential Privacy", 2016; Yousefpour et al., "Opacus:
User-Friendly Differential Privacy Library in PyTorch", 2021.
"""

import secrets
from typing import Any

import torch
from opacus.optimizers import DPOptimizer
from opacus.utils.uniform_sampler import UniformWithReplacementSampler
from torch.utils.data import DataLoader

from rec_gen.privacy import Privacy
from training.examples import Row
from training.privacy import spent
from training.trainer import RankingTrainer


class PrivateTrainer(RankingTrainer):
    """Draws users by chance, cuts the gradient of each, and adds noise to their sum.

    Each user's gradient is a backward pass of its own, so it is right for any model, adapter and
    loss. Noise and draws come of seeds that nobody is told, since who knew the noise could take it
    off again; two runs of one recipe differ.
    """

    def __init__(self, *, budget: Privacy, **options: Any) -> None:
        """Set the trainer up.

        Args:
            budget: The noise, the sampling rate and the clipping norm.
            options: Those of `RankingTrainer`; a row of the training data is one user.
        """
        super().__init__(**options)
        self._budget = budget

    def spent(self) -> Privacy:
        """The budget of the steps so far, those before the run was resumed among them."""
        return spent(self._budget, self.state.global_step)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches to which each user belongs with the same probability; some may be empty."""
        rows: Any = self.train_dataset
        sampler = UniformWithReplacementSampler(
            num_samples=len(rows),
            sample_rate=self._budget.sample_rate,
            generator=_secret_generator(torch.device("cpu")),
        )
        return DataLoader(rows, batch_sampler=sampler, collate_fn=self._collate)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> Any:
        """The recipe's optimizer behind clipping and noise."""
        optimizer = super().create_optimizer(model)
        if isinstance(optimizer, DPOptimizer):
            return optimizer
        self._private = DPOptimizer(
            optimizer,
            noise_multiplier=self._budget.noise_multiplier,
            max_grad_norm=self._budget.clip_norm,
            expected_batch_size=self.args.train_batch_size,
            generator=_secret_generator(self.args.device),
        )
        self.optimizer = self._private
        return self._private

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Sum up the clipped gradients of a batch's users; the optimizer's step adds the noise.

        Returns:
            float32 [], the mean loss of the users; 0 where none was drawn.
        """
        model.train()
        inputs = self._prepare_inputs(inputs)
        self._private.zero_grad(set_to_none=True)
        parameters = self._private.params
        for parameter in parameters:
            parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
        total = torch.zeros((), device=self.args.device)
        for user in range(len(inputs["input_ids"])):
            self._private.clip_and_accumulate()  # the user before; the last is left to the step
            total += self._read(model, {key: part[[user]] for key, part in inputs.items()})
        return total / max(1, len(inputs["input_ids"]))

    def _read(self, model: torch.nn.Module, user: dict[str, torch.Tensor]) -> torch.Tensor:
        """Leave one user's gradient with the parameters; the user's mean loss."""
        for parameter in self._private.params:
            parameter.grad = None
        loss: torch.Tensor = self.compute_loss(model, user)
        loss.backward()  # type: ignore[no-untyped-call]
        for parameter in self._private.params:
            gradient = parameter.grad
            parameter.grad_sample = torch.zeros_like(parameter) if gradient is None else gradient
            parameter.grad_sample = parameter.grad_sample[None]
            parameter.grad = None
        return loss.detach()

    def _collate(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        if rows:
            return self.data_collator(rows)
        first: Any = self.train_dataset
        return {key: part[:0] for key, part in self.data_collator([first[0]]).items()}


def _secret_generator(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(secrets.randbits(63))
