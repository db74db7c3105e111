"""How fast constrained search is: `python -m eval.benchmarks.decoding --json FILE`.

Times SmolLM2-135M in bf16 on MovieLens-100K titles, 8 users of about 290 tokens, 10 items each,
seen items left out: this search with both scores, transformers' `generate` with a prefix function,
and one bare prefill of the same prompts as the limit, in turn. Then the trie and the filters alone,
on random semantic IDs and on random titles.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from eval.benchmarks.index import index_figures
from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Split
from rec_gen.data.prepare import load_dataset
from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.search import SearchResult, search
from rec_gen.decoding.transformers_runtime import TransformersRuntime
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.files import write_text
from rec_gen.models import load_model, load_tokenizer
from rec_gen.prompting import PromptConfig, PromptRenderer
from rec_gen.spelling import Spellings, spell
from rec_gen.templates import Template
from rec_gen.versions import machine

USERS, K = 8, 10


class Contest:
    """One batch of requests and those who answer it."""

    def __init__(self, users: int = USERS) -> None:
        self.dataset = load_dataset(DataConfig(source="movielens-100k"))
        tokenizer = load_tokenizer("smollm2-135m")
        self.model = load_model("smollm2-135m", "bfloat16").eval()
        self.spellings = spell(self.dataset.catalog, "title", tokenizer)
        config = PromptConfig(max_history=30, max_tokens=300)
        template = Template.load("next_item")
        catalog = self.dataset.catalog
        renderer = PromptRenderer(template, catalog, self.spellings, tokenizer, config)
        examples = list(self.dataset.examples(Split.TEST))[:users]
        self.seen = [example.history.tolist() for example in examples]
        self.prompts = [renderer.render(history).ids for history in self.seen]
        self.trie = CatalogTrie.build(self.spellings.tokens)
        self.illegal = 0

    def prefill(self) -> None:
        """The limit: reading the prompts once, and nothing else."""
        with torch.inference_mode():
            self.model(**_padded(self.prompts, left=False), use_cache=True, logits_to_keep=1)

    def search(self, **options: Any) -> None:
        """This engine."""
        leaves = EligibleLeaves(LeafFilter(self.trie), self.seen)
        runtime = TransformersRuntime(self.model)
        self._check(search(runtime, self.prompts, self.trie, leaves, K, **options))

    def generate(self) -> None:
        """Transformers' beam search with a Python trie behind `prefix_allowed_tokens_fn`."""
        inputs = _padded(self.prompts, left=True)
        width = inputs["input_ids"].shape[1]
        children = [_children(self.spellings, seen) for seen in self.seen]
        self.model.generate(
            **inputs,
            num_beams=K,
            num_return_sequences=K,
            do_sample=False,
            max_new_tokens=max(map(len, self.spellings.tokens)) + 1,
            length_penalty=0.0,
            eos_token_id=0,
            pad_token_id=0,
            prefix_allowed_tokens_fn=lambda user, ids: children[user].get(
                tuple(ids[width:].tolist()), [0]
            ),
        )

    def _check(self, results: list[SearchResult]) -> None:
        for seen, result in zip(self.seen, results, strict=True):
            legal = set(result.items) - set(seen)
            self.illegal += K - len(legal)


def _padded(prompts: list[list[int]], *, left: bool) -> dict[str, torch.Tensor]:
    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        place = slice(width - len(prompt), width) if left else slice(0, len(prompt))
        ids[row, place], mask[row, place] = torch.tensor(prompt), 1
    return {"input_ids": ids, "attention_mask": mask} if left else {"input_ids": ids}


def _children(spellings: Spellings, seen: list[int]) -> dict[tuple[int, ...], list[int]]:
    children: dict[tuple[int, ...], set[int]] = {}
    for item in set(range(len(spellings.tokens))).difference(seen):
        path = spellings.tokens[item].tolist()
        for depth, token in enumerate(path):
            children.setdefault(tuple(path[:depth]), set()).add(token)
    return {prefix: list(tokens) for prefix, tokens in children.items()}


def race(contestants: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The median seconds of each, who take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--rounds", default=5, show_default=True, help="Turns of each contestant.")
def main(json_path: Path | None, rounds: int) -> None:
    """Measure the search, the trie and the filters."""
    contest = Contest()
    contest.prefill()
    seconds = race(
        {
            "prefill": contest.prefill,
            "catalog, beam 10": lambda: contest.search(beam_width=10, score="catalog"),
            "lm, beam 10": lambda: contest.search(beam_width=10, score="lm"),
            "catalog, beam 50": lambda: contest.search(beam_width=50, score="catalog"),
        },
        rounds,
    )
    seconds |= race({"transformers generate": contest.generate}, 1)
    table = Table("contestant", "seconds", "of the prefill")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.2f}", f"{value / seconds['prefill']:.2f}")
    Console().print(table)
    figures = {
        "catalog_over_prefill": seconds["catalog, beam 10"] / seconds["prefill"],
        "catalog_beam_50_over_prefill": seconds["catalog, beam 50"] / seconds["prefill"],
        "lm_over_prefill": seconds["lm, beam 10"] / seconds["prefill"],
        "transformers_over_prefill": seconds["transformers generate"] / seconds["prefill"],
        "prefill_s": seconds["prefill"],
        **index_figures(np.random.default_rng(0)),
        "illegal_items": contest.illegal,
    }
    figures = {name: round(value, 4) for name, value in figures.items()}
    Console().print_json(json.dumps(figures))
    if json_path:
        report = {"figures": figures, "data": contest.dataset.fingerprint} | machine()
        write_text(json_path, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
