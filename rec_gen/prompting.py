"""From a history to token ids: render, apply the chat template, cut the history to the budget."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from jinja2 import TemplateError
from pydantic import Field

from rec_gen.catalog import Catalog
from rec_gen.config import Config
from rec_gen.errors import PromptError
from rec_gen.marks import Segment, mark_item, split_marks
from rec_gen.spelling import Spellings
from rec_gen.templates import Template
from rec_gen.text import TextEncoder, clean_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Positions = Sequence[int] | npt.NDArray[np.int32]
"""Catalog positions, oldest first."""


class PromptConfig(Config):
    """How histories become prompts.

    Attributes:
        template: A template's name or the path of a `.jinja` file.
        max_history: Interactions shown at most, the latest ones.
        max_tokens: Tokens of a prompt at most; older interactions are left out until it fits.
    """

    template: str = "next_item"
    max_history: int = Field(default=50, ge=1)
    max_tokens: int = Field(default=1024, ge=1)


@dataclass(frozen=True)
class Span:
    """Where a prompt spells an item: tokens `[start, stop)` for the history's item at `place`."""

    place: int
    start: int
    stop: int


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt.

    Attributes:
        ids: Token ids.
        text: The same as a reader sees it.
        spans: Where items of the history are spelled.
        kept: How many items of the history, counted from the latest, were shown.
    """

    ids: list[int]
    text: str
    spans: list[Span]
    kept: int


class PromptRenderer:
    """Renders histories of one catalog with one template for one tokenizer."""

    def __init__(
        self,
        template: Template,
        catalog: Catalog,
        spellings: Spellings,
        tokenizer: "PreTrainedTokenizerBase",
        config: PromptConfig,
    ) -> None:
        self.template = template
        self._tokenizer = tokenizer
        self._config = config
        self._encoder = TextEncoder(tokenizer)
        self._read(catalog, spellings)

    def over(self, catalog: Catalog, spellings: Spellings) -> "PromptRenderer":
        """The same renderer for another version of its catalog."""
        other = copy(self)
        other._read(catalog, spellings)
        return other

    def _read(self, catalog: Catalog, spellings: Spellings) -> None:
        self._catalog = catalog
        self._spellings = spellings
        # nothing here refers back to the renderer, so that an old one is freed at once
        self._fields = lru_cache(maxsize=1 << 16)(partial(_clean_fields, catalog))

    def render(self, history: Positions) -> Prompt:
        """Render a history, leaving out its oldest items until the prompt fits.

        Args:
            history: Catalog positions, oldest first.

        Raises:
            PromptError: The template fails, or not even the latest item fits.
        """
        kept = min(len(history), self._config.max_history)
        prompt = self._render(history, kept)
        if len(prompt.ids) <= self._config.max_tokens:
            return prompt
        fits, too_many = 0, kept
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            candidate = self._render(history, middle)
            if len(candidate.ids) <= self._config.max_tokens:
                fits, prompt = middle, candidate
            else:
                too_many = middle
        if not fits:
            needed = len(self._render(history, min(len(history), 1)).ids)
            raise PromptError(
                f"template '{self.template.name}' needs {needed} tokens for the shortest history, "
                f"the budget is {self._config.max_tokens}: raise prompt.max_tokens"
            )
        return prompt

    def _render(self, history: Positions, kept: int) -> Prompt:
        shown = history[len(history) - kept :]
        ids: list[int] = []
        spans: list[Span] = []
        texts: list[str] = []
        for segment in self._segments(shown):
            if segment.item is None:
                encode = self._encoder.trusted if segment.trusted else self._encoder.untrusted
                ids += encode(segment.text)
                texts.append(segment.text)
            else:
                if segment.item >= kept:
                    raise PromptError(
                        f"template '{self.template.name}': changes item.spelling; print it as it is"
                    )
                position = int(shown[segment.item])
                start = len(ids)
                ids += self._spellings.tokens[position].tolist()
                spans.append(Span(len(history) - kept + segment.item, start, len(ids)))
                texts.append(self._spellings.texts[position])
        if not ids:
            raise PromptError(
                f"template '{self.template.name}' renders nothing for an empty history, and the "
                "tokenizer has no first token: begin the template with a text"
            )
        return Prompt(ids, "".join(texts), spans, kept)

    def _segments(self, shown: Positions) -> list[Segment]:
        items = [
            SimpleNamespace(**{**self._fields(int(position)), "spelling": mark_item(place)})
            for place, position in enumerate(shown)
        ]
        try:
            marked = self.template.render(history=items)
        except PromptError as error:
            fields = ", ".join(self._catalog.metadata) or "nothing else"
            raise PromptError(
                f"{error}; items of this catalog have id, title, spelling and {fields}"
            ) from error
        try:
            return list(split_marks(self._wrap(marked)))
        except ValueError as error:
            raise PromptError(
                f"template '{self.template.name}': {error}; print item.spelling without filters"
            ) from error
        except TemplateError as error:
            raise PromptError(f"the tokenizer's chat template fails: {error}") from error

    def _wrap(self, marked: str) -> str:
        if not self._tokenizer.chat_template:
            return (self._tokenizer.bos_token or "") + marked
        turns = [{"role": "user", "content": marked}]
        if "system" in self.template.header:
            turns.insert(0, {"role": "system", "content": self.template.header["system"]})
        return str(
            self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        )


def _clean_fields(catalog: Catalog, position: int) -> dict[str, Any]:
    item = catalog[position]
    return {**_clean(item.fields), "id": clean_text(item.id), "title": clean_text(item.title)}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {_clean(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, bytes):
        return clean_text(value.decode("utf-8", errors="replace"))
    if isinstance(value, list | tuple | np.ndarray):
        return [_clean(inner) for inner in value]
    return value
