"""An evaluation that only ranks, for trainers whose loss says little of the ranking."""

from collections.abc import Callable
from typing import Any

from transformers.trainer_utils import EvalLoopOutput

from training.stopping import EndsOnce


class RankedEvaluation(EndsOnce):
    """A mixin for trainers of transformers: each evaluation ranks the held-out items.

    Attributes:
        rank: Makes the metrics.
    """

    rank: Callable[[], dict[str, float]]
    model: Any

    def evaluation_loop(
        self, *args: Any, metric_key_prefix: str = "eval", **options: Any
    ) -> EvalLoopOutput:
        """Rank; the trainer's own evaluation data stays unread."""
        self.model.eval()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.rank().items()}
        return EvalLoopOutput(None, None, metrics, 0)
