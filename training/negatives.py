"""Hard negatives: what the model itself would recommend instead of the true next item."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Example
from rec_gen.recommender import Recommender
from training.examples import prompt_of


@dataclass(frozen=True)
class Preference:
    """A true next item and the items that it is preferred to, as the model writes them.

    Attributes:
        prompt: Token ids of the rendered history.
        chosen: Token ids of the true item.
        rejected: Token ids of each hard negative, the likeliest first.
    """

    prompt: list[int]
    chosen: list[int]
    rejected: list[list[int]]


def preferences(
    bundle: Bundle, examples: Sequence[Example], negatives: int, *, exclude_seen: bool
) -> Iterator[Preference]:
    """Set the true item of each example against the likeliest others of the model's own beam.

    Args:
        bundle: The model, in evaluation mode.
        examples: Histories and true items, with more eligible items than `negatives`.
        negatives: Hard negatives of an example.
        exclude_seen: Take no item of the history for a negative.
    """
    ids, tokens, renderer = bundle.catalog.ids, bundle.spellings.tokens, bundle.renderer()
    answers = Recommender(bundle).recommend(
        [[ids[position] for position in example.history] for example in examples],
        k=negatives + 1,
        exclude_seen=exclude_seen,
        dialogues=[example.dialogue for example in examples],
    )
    for example, answer in zip(examples, answers, strict=True):
        items = [bundle.catalog.position(recommended.item.id) for recommended in answer]
        rejected = [item for item in items if item != example.target][:negatives]
        yield Preference(
            prompt_of(example, renderer).ids,
            tokens[example.target].tolist(),
            [tokens[item].tolist() for item in rejected],
        )
