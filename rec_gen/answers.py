"""What a recommender answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args, overload

from rec_gen.calibration import Scale, shares
from rec_gen.catalog import Item
from rec_gen.errors import BundleError, DecodingError

if TYPE_CHECKING:
    from rec_gen.manifest import Manifest


@dataclass(frozen=True)
class Recommendation:
    """A recommended item.

    Attributes:
        item: The item.
        score: Its log-probability after the prompt and its bonus, or what `scale` made of them.
    """

    item: Item
    score: float


@dataclass(frozen=True)
class Answer(Sequence[Recommendation]):
    """The recommendations for one request, best first, with what is known of them.

    Attributes:
        recommendations: What the answer consists of.
        certified: No other eligible item would rank higher than the last of them.
        version: The version of the catalog that they come from.
        prompt_tokens: The length of the prompt.
        answer_tokens: How many tokens write the items.
    """

    recommendations: tuple[Recommendation, ...]
    certified: bool
    version: int
    prompt_tokens: int
    answer_tokens: int

    @overload
    def __getitem__(self, index: int) -> Recommendation: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Recommendation, ...]: ...

    def __getitem__(self, index: int | slice) -> Recommendation | tuple[Recommendation, ...]:
        return self.recommendations[index]

    def __len__(self) -> int:
        return len(self.recommendations)


def scaling(
    manifest: "Manifest", scale: Scale, score: str, *, combined: bool
) -> Callable[[list[float]], list[float]]:
    """What turns the scores of an answer into what was asked for.

    Args:
        manifest: The bundle's, which holds the calibrations.
        scale: What was asked for.
        score: What the search summed up.
        combined: Something was added to the model's scores.

    Raises:
        BundleError: The bundle has no calibration of these scores.
        DecodingError: There is no such scale, or it says nothing of combined scores.
    """
    if scale not in get_args(Scale):
        raise DecodingError(f"scale is '{scale}': give log, list or probability")
    if scale == "log":
        return list
    if scale == "list":
        return shares
    if combined:
        raise DecodingError(
            "scale is probability, which knows nothing of item_scores, prior_weight and "
            "exposure: leave one of them out"
        )
    calibration = manifest.calibration.get(score)
    if calibration is None:
        raise BundleError(
            f"the bundle '{manifest.name}' holds no calibration of {score} scores: "
            "train it again, or give the scale log or list"
        )
    return lambda scores: [calibration.probability(score) for score in scores]
