"""What a recommender answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from rec_gen.catalog import Item


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
