"""What constraints buy: the same model generates freely, and its answers are looked up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from eval.intervals import Interval, mean_intervals
from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Example
from rec_gen.slots import Known

K = 10
"""Answers to an example."""

METHODS = ("beam search", "sampling")


@dataclass(frozen=True)
class FreeGeneration:
    """What a model writes without constraints.

    Attributes:
        method: `beam search` with as many beams as answers, or `sampling` at temperature 1.
        examples: How many examples were asked.
        answers: How many answers each got.
        invalid: The share of answers whose text begins with no item's spelling.
        duplicate: The share that names an item which an answer before it named.
        seen: The share that names an item of the history.
    """

    method: str
    examples: int
    answers: int
    invalid: Interval
    duplicate: Interval
    seen: Interval


def generate_freely(
    bundle: Bundle, catalog: Catalog, examples: Sequence[Example], count: int, seed: int
) -> list[FreeGeneration]:
    """Let a bundle's model answer with transformers' `generate`, and count what is wrong.

    An answer ends with the first token that ends spellings and stands nowhere else in one, or
    when it is as long as the longest spelling. What it names is the item whose text it begins
    with, both as the tokenizer decodes them, so another way to write an item's text counts too.

    Args:
        bundle: The model, its prompts and its spellings.
        catalog: The items that the examples' positions stand for.
        examples: Held-out examples.
        count: How many of them to ask, drawn by the seed; at most all.
        seed: Of the draw, of sampling and of the intervals.
    """
    rows = np.random.default_rng(seed).permutation(len(examples))[:count]
    asked = [examples[row] for row in np.sort(rows)]
    users = [example.user for example in asked]
    histories = [
        [bundle.catalog.position(catalog.ids[place]) for place in example.history]
        for example in asked
    ]
    renderer, items = bundle.renderer(), _items_by_text(bundle)
    prompts = [
        renderer.render(history, known=Known(dialogue=example.dialogue)).ids
        for history, example in zip(histories, asked, strict=True)
    ]
    found = []
    for method in METHODS:
        written = _generate(bundle, prompts, method, seed)
        shares = [
            _shares([_item(text, items) for text in texts], history)
            for texts, history in zip(written, histories, strict=True)
        ]
        intervals = mean_intervals(np.array(shares), users, seed)
        found.append(FreeGeneration(method, len(asked), K, *intervals))
    return found


def _generate(
    bundle: Bundle, prompts: Sequence[Sequence[int]], method: str, seed: int
) -> list[list[str]]:
    """The texts that are written after each prompt, `K` each."""
    beams = method == "beam search"
    options: dict[str, Any] = {
        "max_new_tokens": max(map(len, bundle.spellings.tokens)),
        "eos_token_id": _ends(bundle),
        "pad_token_id": bundle.tokenizer.pad_token_id or 0,
        "num_return_sequences": K,
        "num_beams": K if beams else 1,
        "do_sample": not beams,
        **({} if beams else {"temperature": 1.0, "top_k": 0, "top_p": 1.0}),
    }
    console = Console(stderr=True)
    texts = []
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        for prompt in track(
            prompts, method, console=console, transient=True, disable=not console.is_terminal
        ):
            ids = torch.tensor([prompt], device=bundle.model.device)
            written: torch.Tensor = bundle.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), **options
            )
            texts.append([_decode(bundle, row) for row in written[:, len(prompt) :].tolist()])
    return texts


def _ends(bundle: Bundle) -> list[int]:
    """The tokens that end spellings and stand nowhere else in one."""
    spelled = bundle.spellings.tokens
    inside = {token for tokens in spelled for token in tokens[:-1].tolist()}
    return sorted({int(tokens[-1]) for tokens in spelled} - inside)


def _items_by_text(bundle: Bundle) -> dict[str, int]:
    return {
        _decode(bundle, tokens.tolist()): place
        for place, tokens in enumerate(bundle.spellings.tokens)
    }


def _decode(bundle: Bundle, ids: list[int]) -> str:
    return str(bundle.tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def _item(text: str, items: dict[str, int]) -> int | None:
    """The item whose text an answer begins with."""
    starts = (items[text[:end]] for end in range(1, len(text) + 1) if text[:end] in items)
    return next(starts, None)


def _shares(items: Sequence[int | None], history: Sequence[int]) -> tuple[float, float, float]:
    """The shares of invalid, repeated and seen answers."""
    named = [item for item in items if item is not None]
    seen = sum(item in history for item in named)
    counts = (len(items) - len(named), len(named) - len(set(named)), seen)
    invalid, duplicate, known = (count / len(items) for count in counts)
    return invalid, duplicate, known
