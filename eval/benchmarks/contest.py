"""One batch of real requests, and those who answer it: for the benchmarks of the search."""

from collections.abc import Sequence
from typing import Any

import torch

from eval.benchmarks.masked import masked_search, nested_trie
from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Split
from rec_gen.data.prepare import load_dataset
from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.search import search
from rec_gen.decoding.transformers_runtime import TransformersRuntime
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.models import load_model, load_tokenizer
from rec_gen.prompting import PromptConfig, PromptRenderer
from rec_gen.spelling import Spellings, spell
from rec_gen.templates import Template

USERS, K = 8, 10


class Contest:
    """Requests of MovieLens-100K users to SmolLM2-135M, which spells titles.

    Attributes:
        forwards: Readings of the model in this turn, by whomever.
        tokens: Tokens that these read, padding included.
        illegal: Items that the answers of this turn lack of ten different eligible ones.
    """

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
        self.nested = [nested_trie(self.spellings.tokens, set(seen)) for seen in self.seen]
        self.children = [_children(self.spellings, seen) for seen in self.seen]
        self.items = {tuple(path.tolist()): n for n, path in enumerate(self.spellings.tokens)}
        self.begin_turn()
        self.model.base_model.register_forward_pre_hook(self._count, with_kwargs=True)

    def begin_turn(self) -> None:
        """Count from nothing."""
        self.forwards = self.tokens = self.illegal = 0

    def prefill(self) -> None:
        """The limit: reading the prompts once, and nothing else."""
        with torch.inference_mode():
            self.model(**_padded(self.prompts, left=False), use_cache=True, logits_to_keep=1)

    def search(self, **options: Any) -> None:
        """This engine."""
        leaves = EligibleLeaves(LeafFilter(self.trie), self.seen)
        runtime = TransformersRuntime(self.model)
        results = search(runtime, self.prompts, self.trie, leaves, K, **options)
        self._check([result.items for result in results])

    def mask(self) -> None:
        """A mask over the whole vocabulary, filled from a Python trie."""
        self._check(masked_search(self.model, self.prompts, self.nested, K))

    def generate(self) -> None:
        """Transformers' beam search with a Python trie behind `prefix_allowed_tokens_fn`."""
        inputs = _padded(self.prompts, left=True)
        width = inputs["input_ids"].shape[1]
        found = self.model.generate(
            **inputs,
            num_beams=K,
            num_return_sequences=K,
            do_sample=False,
            max_new_tokens=max(map(len, self.spellings.tokens)) + 1,
            length_penalty=0.0,
            eos_token_id=0,
            pad_token_id=0,
            prefix_allowed_tokens_fn=lambda user, ids: self.children[user].get(
                tuple(ids[width:].tolist()), [0]
            ),
        )
        written = found[:, width:].view(len(self.prompts), K, -1).tolist()
        self._check([[self._item(tokens) for tokens in answer] for answer in written])

    def _item(self, tokens: list[int]) -> int | None:
        """The item that is spelled with padding behind it, if any is."""
        end = int(self.spellings.tokens[0][-1])
        length = tokens.index(end) + 1 if end in tokens else len(tokens)
        return self.items.get(tuple(tokens[:length]))

    def _check(self, answers: Sequence[Sequence[int | None]]) -> None:
        for seen, items in zip(self.seen, answers, strict=True):
            self.illegal += K - len(set(items).difference(seen, [None]))

    def _count(self, module: torch.nn.Module, args: Any, kwargs: dict[str, torch.Tensor]) -> None:
        self.forwards += 1
        self.tokens += kwargs["input_ids"].numel()


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
