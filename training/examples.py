"""Training examples: rendered prompts with an answer, and labels on the tokens to be learnt."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from rec_gen.data.dataset import Example, Sequence
from rec_gen.errors import PromptError
from rec_gen.prompting import Prompt, PromptRenderer
from rec_gen.slots import Known
from rec_gen.spelling import Spellings

IGNORED = -100
"""The label of a token that carries no loss."""

Row = dict[str, Any]


def every_item(
    sequences: Iterable[Sequence],
    renderer: PromptRenderer,
    spellings: Spellings,
    recency: float = 0.0,
) -> Iterator[Row]:
    """One rendering teaches every item it spells, each from those before it.

    A sequence longer than a prompt is cut into windows that overlap by half, so that each item is
    learnt at least once with a history behind it.

    Args:
        sequences: Each user's training interactions.
        renderer: Makes prompts of histories.
        spellings: How the items are written.
        recency: How much more the latest interactions weigh: by its exponential more than the
            earliest ones.

    Yields:
        `input_ids` and `labels`, of one length, and with a recency the labels' `weights`.

    Raises:
        PromptError: The template does not spell the latest items once each and oldest first, or
            tells a profile of all of them, so that an item would be learnt from what came after it.
    """
    if "profile" in renderer.template.inputs:
        raise PromptError(
            f"template '{renderer.template.name}': the profile counts items that come after the "
            'ones to be learnt; use another template, or train.loss = "last-item"'
        )
    for sequence in sequences:
        stop = len(sequence.items)
        while stop > 0:
            history, answer = sequence.items[: stop - 1], int(sequence.items[stop - 1])
            prompt = renderer.render(history)
            first = _first_place(prompt, stop - 1)
            ids = prompt.ids + spellings.tokens[answer].tolist()
            labels, weights = np.full(len(ids), IGNORED), np.zeros(len(ids))
            spans = [(span.place, span.start, span.stop) for span in prompt.spans]
            for place, start, end in [*spans, (stop - 1, len(prompt.ids), len(ids))]:
                if sequence.targets[place]:
                    labels[start:end] = ids[start:end]
                    weights[start:end] = np.exp(-recency * sequence.ages[place])
            if (labels != IGNORED).any():
                row = {"input_ids": ids, "labels": labels.tolist()}
                yield {**row, "weights": weights.tolist()} if recency else row
            if first == 0:
                break
            stop -= (stop - first + 1) // 2


def _first_place(prompt: Prompt, stop: int) -> int:
    """The place of the oldest item that a prompt spells; `stop` when it spells none."""
    places = [span.place for span in prompt.spans]
    first = places[0] if places else stop
    if places != list(range(first, stop)) or (stop and not places):
        raise PromptError(
            "the loss on every item needs a template that spells the latest items once each, "
            'oldest first; use another template, or train.loss = "last-item"'
        )
    return first


def last_item(
    sequences: Iterable[Sequence], renderer: PromptRenderer, spellings: Spellings
) -> Iterator[Row]:
    """One rendering an item: only the answer carries a loss.

    Yields:
        `input_ids` and `labels`, of one length.
    """
    return held_out(each_target(sequences), renderer, spellings)


def each_target(sequences: Iterable[Sequence]) -> Iterator[Example]:
    """Each interaction that may be learnt, and all that came before it."""
    for sequence in sequences:
        yield from sequence.examples()


def held_out(
    examples: Iterable[Example], renderer: PromptRenderer, spellings: Spellings
) -> Iterator[Row]:
    """Examples of which only the answer carries a loss, as a validation loss wants them."""
    for example in examples:
        tokens = spellings.tokens[example.target].tolist()
        yield answered(prompt_of(example, renderer), tokens)


def prompt_of(example: Example, renderer: PromptRenderer) -> Prompt:
    """What a model reads before an example's target."""
    return renderer.render(example.history, known=Known(dialogue=example.dialogue))


def answered(prompt: Prompt, answer: list[int]) -> Row:
    """A prompt and its answer, which alone carries a loss."""
    return {"input_ids": prompt.ids + answer, "labels": [IGNORED] * len(prompt.ids) + answer}
