"""What one client does: some steps from the weights of all, and a ranking of its own users."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence
from transformers import get_scheduler

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Example
from training.catalog_loss import CatalogLoss, states_of
from training.examples import IGNORED, Row
from training.federated.config import FederatedRecipe
from training.federated.weights import Weights, read_weights, write_weights
from training.ranking import rank_examples

BETAS = (0.9, 0.98)
LONGEST_GRADIENT = 1.0
"""As in `training.arguments`, and transformers' default."""

Batch = dict[str, torch.Tensor]


class LocalTraining:
    """A client's rows, and the recipe's loss on them.

    A round depends on the weights that it begins with, the step and the client's number alone, so
    a client needs no memory between rounds and an interrupted one can be asked again. AdamW begins
    anew in each, since its moments would be another's.

    Attributes:
        rows: What it learns from.
        held: Its validation examples.
    """

    def __init__(
        self,
        recipe: FederatedRecipe,
        bundle: Bundle,
        rows: Sequence[Row],
        held: Sequence[Example],
        number: int,
    ) -> None:
        """Set a client up.

        Args:
            recipe: The run.
            bundle: Whose model is trained; clients of one process share it.
            rows: What it learns from.
            held: Its validation examples.
            number: Tells its draws from those of others.
        """
        self.rows, self.held = rows, held
        self._recipe, self._bundle, self._number = recipe, bundle, number
        train = recipe.train
        self._catalog_loss = (
            CatalogLoss(bundle.spellings.tokens, train.label_smoothing)
            if train.score == "catalog"
            else None
        )

    @property
    def model(self) -> nn.Module:
        """The model that is trained."""
        model: nn.Module = self._bundle.model
        return model

    def train(self, weights: Weights, first: int, mu: float) -> tuple[Weights, int, float]:
        """Take a round's steps.

        Args:
            weights: What all clients begin with.
            first: The steps that were taken before, which say where schedule and order go on.
            mu: The weight of the pull back to `weights`; 0 is FedAvg.

        Returns:
            The weights that it came to, how many different rows it learnt from, and the mean loss.
        """
        train, model = self._recipe.train, self._bundle.model
        write_weights(model, weights)
        begun = [p for p in model.parameters() if p.requires_grad]
        anchors = [p.detach().clone() for p in begun]
        optimizer = torch.optim.AdamW(
            begun, train.learning_rate, BETAS, weight_decay=train.weight_decay
        )
        schedule = get_scheduler(train.schedule, optimizer, train.warmup_steps, train.max_steps)
        torch.manual_seed(_seed(self._recipe.seed, self._number, first))
        last = min(first + self._recipe.federated.local_steps, train.max_steps)
        model.train()
        losses = []
        for step in range(first, last):
            optimizer.param_groups[0]["lr"] = train.learning_rate * schedule.lr_lambdas[0](step)
            loss = self._loss(self._batch(step))
            pull = sum(((p - a) ** 2).sum() for p, a in zip(begun, anchors, strict=True))
            (loss + mu / 2 * pull if mu else loss).backward()
            clip_grad_norm_(begun, LONGEST_GRADIENT)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        model.eval()
        learnt = min(len(self.rows), (last - first) * train.batch_size)
        return read_weights(model), learnt, float(np.mean(losses))

    def evaluate(self, weights: Weights) -> dict[str, float]:
        """NDCG@10 and recall@10 of its validation examples, summed over them."""
        validation = self._recipe.validation
        write_weights(self._bundle.model, weights)
        self._bundle.model.eval()
        with torch.no_grad():
            means = rank_examples(
                self._bundle, self.held, validation.beam_width, validation.exclude_seen
            )
        return {name: mean * len(self.held) for name, mean in means.items()}

    def _batch(self, step: int) -> Batch:
        """The rows of a step: all rows in a new order again and again."""
        size = self._recipe.train.batch_size
        places = range(step * size, (step + 1) * size)
        chosen = [self.rows[index] for index in self._order(places)]
        columns = {name: [torch.tensor(row[name]) for row in chosen] for name in chosen[0]}
        padding = {"input_ids": self._bundle.tokenizer.pad_token_id or 0, "labels": IGNORED}
        batch = {
            name: pad_sequence(values, batch_first=True, padding_value=padding.get(name, 0))
            for name, values in columns.items()
        }
        lengths = torch.tensor([len(row["input_ids"]) for row in chosen])
        reached = torch.arange(batch["input_ids"].shape[1])
        batch["attention_mask"] = (reached < lengths[:, None]).long()
        return {name: value.to(self._bundle.model.device) for name, value in batch.items()}

    def _order(self, places: range) -> Iterator[int]:
        """Which rows stand at some places of an endless walk through all of them."""
        size = len(self.rows)
        orders = {
            epoch: np.random.default_rng([self._recipe.seed, self._number, epoch]).permutation(size)
            for epoch in range(places[0] // size, places[-1] // size + 1)
        }
        for place in places:
            yield int(orders[place // size][place % size])

    def _loss(self, batch: Batch) -> torch.Tensor:
        labels, model = batch["labels"], self._bundle.model
        if self._catalog_loss is not None:
            states = states_of(model, batch)
            total = self._catalog_loss(
                states, model.get_output_embeddings(), labels, batch.get("weights")
            )
            return total / self._catalog_loss.weigh(labels)
        output = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
        )
        return cross_entropy(
            output.logits[:, :-1].flatten(0, 1).float(),
            labels[:, 1:].flatten(),
            ignore_index=IGNORED,
            label_smoothing=self._recipe.train.label_smoothing,
        )


def _seed(*parts: int) -> int:
    return int(np.random.default_rng(parts).integers(2**32))
