"""Why an item fits a history: the likeliest of the reasons that are true."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.search import search
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.prompting import PromptRenderer

if TYPE_CHECKING:
    from rec_gen.reasons import Reasons

BEAM = 20


def explain(
    runtime: Runtime,
    renderer: PromptRenderer,
    reasons: "Reasons",
    history: Sequence[int],
    items: Sequence[int],
    batch_size: int,
) -> list[str | None]:
    """Search the sentences of an `explanation` template that are true of each item.

    Args:
        runtime: The model.
        renderer: Makes prompts and sentences with that template.
        reasons: What items share.
        history: Catalog positions, oldest first.
        items: The positions of the items that are asked about.
        batch_size: Items that are asked about together.

    Returns:
        For each item the sentence that the model finds likeliest; None where none is true.

    Raises:
        PromptError: The template cannot render a question, or not within its budget.
        ModelError: The model gives NaN or infinite scores.
    """
    prompts = [renderer.render(history, item=item) for item in items]
    true = []
    for item, prompt in zip(items, prompts, strict=True):
        shown = history[len(history) - prompt.kept :]
        said = [(renderer.answer_text(one), one) for one in reasons.all(shown, item)]
        true.append(dict(said))
    tokens = {
        text: np.array(renderer.answer(reason), np.int32)
        for said in true
        for text, reason in said.items()
    }
    if not tokens:
        return [None] * len(items)
    texts = list(tokens)
    trie = CatalogTrie.build(list(tokens.values())).to(runtime.device)
    chosen: list[str | None] = [next(iter(said), None) for said in true]
    open_places = [place for place, said in enumerate(true) if len(said) > 1]
    for start in range(0, len(open_places), batch_size):
        places = open_places[start : start + batch_size]
        allowed = [torch.tensor([text in true[place] for text in texts]) for place in places]
        leaves = EligibleLeaves([LeafFilter(trie, one) for one in allowed], [[]] * len(places))
        read = [prompts[place].ids for place in places]
        for place, found in zip(places, search(runtime, read, trie, leaves, 1, BEAM), strict=True):
            chosen[place] = texts[found.items[0]]
    return chosen
