"""TRL's trainer with what recommending needs besides."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence
from trl import SFTTrainer

from rec_gen.privacy import Privacy
from training.adversarial import perturbed, worst_perturbation
from training.catalog_loss import CatalogLoss, states_of, summed
from training.composition import composed, load_composition, save_composition
from training.dropout import blank
from training.examples import Row
from training.order import LengthGroupedOrder
from training.stopping import EndsOnce

if TYPE_CHECKING:
    from transformers.trainer_utils import EvalLoopOutput

Collator = Callable[[list[Row]], dict[str, torch.Tensor]]


class RankingTrainer(EndsOnce, SFTTrainer):  # type: ignore[misc]
    """Ranks at each evaluation, so that the best step is the one that ranks best."""

    def __init__(
        self,
        *,
        rank: Callable[[], dict[str, float]],
        catalog_losses: Sequence[CatalogLoss],
        item_tokens: torch.Tensor,
        item_dropout: float,
        adversarial: float | None = None,
        **options: Any,
    ) -> None:
        """Set the trainer up.

        Args:
            rank: Gives the ranking metrics of the model as it is.
            catalog_losses: The loss of each domain, which rows name by their number in `domain`;
                none is TRL's over the whole vocabulary.
            item_tokens: bool [vocabulary], which tokens were added for items.
            item_dropout: How often such a token is blanked in what the model reads.
            adversarial: The length of the worst change of each embedding that is learnt with, as a
                share of its own; None changes none.
            options: TRL's.
        """
        trained = {p: p.dtype for p in options["model"].parameters() if p.requires_grad}
        super().__init__(**options)
        for parameter, dtype in trained.items():  # of a quantised model TRL makes them bfloat16
            parameter.data = parameter.data.to(dtype)
        self.data_collator: Collator = _WithWeights(self.data_collator)
        self._rank = rank
        self._catalog_losses = catalog_losses
        self._item_tokens, self._item_dropout = item_tokens, item_dropout
        self._adversarial = adversarial

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """The mean loss of a batch."""
        if self.model.training and self._item_dropout:
            ids, pad = inputs["input_ids"], self.processing_class.pad_token_id
            inputs["input_ids"] = blank(
                ids, self._item_tokens.to(ids.device), self._item_dropout, pad
            )
        weights, domains = inputs.pop("weights", None), inputs.pop("domain", None)
        with composed(self.model), self._perturbed(inputs, weights, domains):
            if not self._catalog_losses:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            total = self._sum(model, inputs, weights, domains)
        count = num_items_in_batch
        if count is None:
            count = self._weigh(inputs)
        return total * self._shares(num_items_in_batch) / count

    def _sum(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        weights: torch.Tensor | None,
        domains: torch.Tensor | None,
    ) -> torch.Tensor:
        """The summed loss of a batch over the tokens that the tries allow."""
        head = self.model.get_output_embeddings()
        states = states_of(model, inputs)
        return summed(self._catalog_losses, states, head, inputs["labels"], weights, domains)

    def _perturbed(
        self,
        inputs: dict[str, torch.Tensor],
        weights: torch.Tensor | None,
        domains: torch.Tensor | None,
    ) -> AbstractContextManager[None]:
        """The model with embeddings changed to its harm, where it learns with such ones.

        They are found by the bare model: a wrapper for several processes would wait for gradients.
        """
        if not (self.model.training and self._adversarial):
            return nullcontext()

        def loss() -> torch.Tensor:
            if self._catalog_losses:
                return self._sum(self.model, inputs, weights, domains)
            found: torch.Tensor = self.model(**inputs).loss
            return found

        embedding = self.model.get_input_embeddings()
        return perturbed(embedding, worst_perturbation(embedding, loss, self._adversarial))

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """The batches of a step, and what its labels weigh in all processes together."""
        batches, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        if count is not None and self._catalog_losses:
            own = sum(self._weigh(batch) for batch in batches)
            count = self.accelerator.gather(torch.as_tensor(own, device=device)).sum()
        return batches, count

    def spent(self) -> Privacy | None:
        """What the steps cost the users' privacy, where that is bounded."""
        return None

    def evaluation_loop(
        self, *args: Any, metric_key_prefix: str = "eval", **options: Any
    ) -> "EvalLoopOutput":
        """Add the ranking metrics to the validation loss."""
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **options)
        with torch.no_grad(), composed(self.model):
            ranked = self._rank().items()
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in ranked})
        return output

    def _save(self, output_dir: str, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        super()._save(output_dir, state_dict)
        save_composition(self.model, Path(output_dir))

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_composition(self.model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        super()._load_best_model()
        load_composition(self.model, Path(self.state.best_model_checkpoint))

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset if train_dataset is None else train_dataset
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedOrder(
            step * self.args.world_size, [len(ids) for ids in rows["input_ids"]], self.args.seed
        )

    def _weigh(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        if len(self._catalog_losses) > 1:  # without text, a label weighs 1
            return (batch["labels"][:, 1:] >= 0).sum().float()
        return self._catalog_losses[0].weigh(batch["labels"])

    def _shares(self, num_items_in_batch: torch.Tensor | None) -> int:
        """Processes that share a batch; their gradients are averaged, its labels counted once."""
        shared = self.args.average_tokens_across_devices and num_items_in_batch is not None
        return int(self.accelerator.num_processes) if shared else 1


class _WithWeights:
    """A collator that also pads the weights of labels and keeps domains, where rows have them."""

    def __init__(self, collate: Collator) -> None:
        self._collate = collate

    def __call__(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        weights = [torch.tensor(row["weights"]) for row in rows if "weights" in row]
        own = ("weights", "domain")
        plain = [{key: row[key] for key in row if key not in own} for row in rows]
        batch = self._collate(plain)
        if weights:
            batch["weights"] = pad_sequence(weights, batch_first=True)
        if "domain" in rows[0]:
            batch["domain"] = torch.tensor([row["domain"] for row in rows])
        return batch
