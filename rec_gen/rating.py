"""Would this person like this item: the model's yes against its no."""

from collections.abc import Sequence

import numpy as np
import torch

from rec_gen.bundle import Bundle
from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.runtimes import runtime_for
from rec_gen.decoding.search import search
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.metrics import Floats
from rec_gen.prompting import PromptRenderer, prompt_ids
from rec_gen.rating_pairs import Pair

YES = 0
BATCH = 32


def rate(
    runtime: Runtime,
    renderer: PromptRenderer,
    histories: Sequence[Sequence[int]],
    items: Sequence[int],
    batch_size: int = BATCH,
) -> Floats:
    """Search the two answers of a `rating` template as if they were a catalog of two items.

    Args:
        runtime: The model.
        renderer: Makes prompts with that template.
        histories: For each request, catalog positions, oldest first.
        items: For each request, the position of the item that is asked about.
        batch_size: Requests that run together.

    Returns:
        float64 [requests], the probability of yes.

    Raises:
        PromptError: The template cannot render a request, or not within its budget.
        ModelError: The model gives NaN or infinite scores.
    """
    answers = [np.array(renderer.answer(liked), np.int32) for liked in (True, False)]
    trie = CatalogTrie.build(answers).to(runtime.device)
    both = LeafFilter(trie, torch.ones(2, dtype=torch.bool))
    asked = enumerate(zip(histories, items, strict=True))
    prompts = [prompt_ids(renderer, n, history, item=item) for n, (history, item) in asked]
    chances = np.empty(len(prompts))
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        leaves = EligibleLeaves(both, [[]] * len(batch))
        for row, found in enumerate(search(runtime, batch, trie, leaves, 2, 2, "catalog")):
            chances[start + row] = np.exp(found.scores[found.items.index(YES)])
    return chances


def rate_pairs(bundle: Bundle, pairs: Sequence[Pair]) -> Floats:
    """The probability that a bundle's model says yes to each pair, float64 [pairs].

    Raises:
        BundleError: The model did not learn the task `rating`.
        PromptError: The template cannot render a pair, or not within its budget.
    """
    renderer = bundle.renderer().using(bundle.task_template("rating"))
    histories = [pair.history.tolist() for pair in pairs]
    return rate(runtime_for(bundle.model), renderer, histories, [pair.item for pair in pairs])
