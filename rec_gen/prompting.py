"""From a history to token ids: render, apply the chat template, cut the history to the budget."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from rec_gen.catalog import Catalog
from rec_gen.config import Config
from rec_gen.data.config import WholePath
from rec_gen.errors import PromptError
from rec_gen.images import ImageReader, image_ids
from rec_gen.item_view import ItemView
from rec_gen.links import Links
from rec_gen.markers import marker_ids
from rec_gen.marks import Segment, mark_item, split_marks
from rec_gen.slots import NEEDS, NOTHING, Known, Profile, interaction_slots
from rec_gen.spelling import Spellings
from rec_gen.templates import Template
from rec_gen.text import TextEncoder, clean_text, clean_value
from rec_gen.turns import as_chat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Positions = Sequence[int] | npt.NDArray[np.int32]
"""Catalog positions, oldest first."""


class PromptConfig(Config):
    """How histories become prompts.

    Attributes:
        template: A template's name or the path of a `.jinja` file.
        max_history: Interactions shown at most, the latest ones.
        max_tokens: Tokens of a prompt at most; older interactions are left out until it fits, or
            what was said longer ago where the template reads a dialogue.
        images: The folder of the items' images, for a template that shows them.
    """

    template: str = "next_item"
    max_history: int = Field(default=50, ge=1)
    max_tokens: int = Field(default=1024, ge=1)
    images: WholePath | None = None


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


@dataclass(frozen=True)
class _Question:
    """What is asked, before the oldest of it is left out."""

    history: Positions
    slots: list[dict[str, Any]]
    item: int | None
    text: str
    known: Known
    utterances: tuple[str, ...]
    linked: list[int]

    def latest(self, count: int) -> "_Question":
        """The same after so many utterances."""
        return replace(self, utterances=self.utterances[len(self.utterances) - count :])


class PromptRenderer:
    """Renders histories of one catalog with one template for one tokenizer."""

    def __init__(
        self,
        template: Template,
        catalog: Catalog,
        spellings: Spellings,
        tokenizer: "PreTrainedTokenizerBase",
        config: PromptConfig,
        images: ImageReader | None = None,
    ) -> None:
        self.template = template
        self._tokenizer = tokenizer
        self._config = config
        self._images = images
        self._encoder = TextEncoder(tokenizer)
        self._read(catalog, spellings)

    def over(self, catalog: Catalog, spellings: Spellings) -> "PromptRenderer":
        """The same renderer for another version of its catalog."""
        other = copy(self)
        other._read(catalog, spellings)
        return other

    def using(self, template: Template) -> "PromptRenderer":
        """The same renderer for another template."""
        other = copy(self)
        other.template = template
        return other

    def _read(self, catalog: Catalog, spellings: Spellings) -> None:
        self._catalog = catalog
        self._spellings = spellings
        # nothing here refers back to the renderer, so that an old one is freed at once
        self._fields = lru_cache(maxsize=1 << 16)(partial(_clean_fields, catalog))
        self.links = lru_cache(maxsize=1)(partial(Links, catalog))  # made when it is first called

    def render(
        self,
        history: Positions = (),
        *,
        item: int | None = None,
        text: str = "",
        known: Known = NOTHING,
    ) -> Prompt:
        """Render a question, leaving out the oldest until the prompt fits.

        That is the oldest items of its history, or where the template reads a dialogue, what was
        said first.

        Args:
            history: Catalog positions, oldest first.
            item: The catalog position of the item that is asked about, where the task has one.
            text: The title or the request that is asked about, where the task has one; a request is
                read in lower case.
            known: What the template may tell beside the items; see `rec_gen.slots`.

        Raises:
            PromptError: The template fails or reads what is not known, or not even the shortest
                prompt fits.
        """
        slots = interaction_slots(len(history), known.times, known.ratings)
        utterances, linked = self._said(known, history)
        question = _Question(history, slots, item, text, known, utterances, linked)
        kept = len(utterances) or min(len(history), self._config.max_history)
        prompt = self._render(question, kept)
        if len(prompt.ids) <= self._config.max_tokens:
            return prompt
        fits, too_many = 0, kept
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            candidate = self._render(question, middle)
            if len(candidate.ids) <= self._config.max_tokens:
                fits, prompt = middle, candidate
            else:
                too_many = middle
        if not fits:
            shortest = self._render(question, min(kept, 1))
            raise PromptError(
                f"template '{self.template.name}' needs {len(shortest.ids)} tokens for the "
                f"{f'text {text!r}' if text else 'shortest history'}, the budget is "
                f"{self._config.max_tokens}: raise prompt.max_tokens"
            )
        return prompt

    def answer(self, value: Any) -> list[int]:
        """The tokens of an answer in text: the template's line without markup, and an end.

        Args:
            value: What the template's task makes an answer of.

        Raises:
            PromptError: The line fails or says nothing, or the tokenizer has no token for an end.
        """
        segments = self._answer(value)
        ids = [token for s in segments for token in self._encoder.untrusted(s.text)]
        if not ids:
            raise PromptError(f"template '{self.template.name}': the answer for {value!r} is empty")
        return [*ids, self._end()]

    def reply(self, pieces: Iterable[str | int]) -> list[int]:
        """The tokens of a reply: text without markup, items between their markers, and an end.

        Args:
            pieces: Clean text, and items by their catalog positions, such as `split_mentions`
                gives them.

        Raises:
            PromptError: The template's line fails, or the tokenizer has no token for an end.
            BundleError: The tokenizer has no markers.
        """
        opens, closes = marker_ids(self._tokenizer)
        marked = "".join(mark_item(p) if isinstance(p, int) else p for p in pieces)
        ids: list[int] = []
        for segment in split_rendered(self.template, self.template.render_answer(marked)):
            if segment.item is None:
                ids += self._encoder.untrusted(segment.text)
            else:
                ids += [opens, *self._spellings.tokens[segment.item].tolist(), closes]
        return [*ids, self._end()]

    def answer_text(self, value: Any) -> str:
        """The same answer as a reader sees it."""
        return "".join(segment.text for segment in self._answer(value))

    def _end(self) -> int:
        end = self._tokenizer.eos_token_id
        if end is None:
            raise PromptError("the tokenizer has no end token, which an answer in text needs")
        return int(end)

    def _answer(self, value: Any) -> list[Segment]:
        return split_rendered(self.template, self.template.render_answer(clean_value(value)))

    def _said(self, known: Known, history: Positions) -> tuple[tuple[str, ...], list[int]]:
        """The utterances that a template reads, and the items that it is shown beside."""
        reads = {"dialogue", "named", "linked"}.intersection(self.template.inputs)
        if not reads:
            return (), []
        if known.dialogue is None:
            raise self._lacking(min(reads), known)
        linked = self.links().find(known.dialogue.entities, history) if "linked" in reads else []
        return known.dialogue.utterances if "dialogue" in reads else (), linked

    def _render(self, question: _Question, kept: int) -> Prompt:
        """Render a question after so many utterances, or else so many items of its history."""
        if question.utterances:
            question = question.latest(kept)
            kept = min(len(question.history), self._config.max_history)
        history, shots = question.history, question.known.shots or ()
        shown = [
            *history[len(history) - kept :],
            *([] if question.item is None else [question.item]),
        ]
        shown += [item for shot in shots for item in (*shot.history, shot.answer)]
        shown += question.linked
        ids: list[int] = []
        spans: list[Span] = []
        texts: list[str] = []
        for segment in self._segments(question, shown, kept):
            if segment.image is not None:
                ids += image_ids(
                    self._images, self._catalog[int(shown[segment.image])], self.template.name
                )
                texts.append("[image]")
            elif segment.item is None:
                encode = self._encoder.trusted if segment.trusted else self._encoder.untrusted
                ids += encode(segment.text)
                texts.append(segment.text)
            else:
                if segment.item >= len(shown):
                    raise PromptError(
                        f"template '{self.template.name}': changes item.spelling; print it as it is"
                    )
                position = int(shown[segment.item])
                start = len(ids)
                ids += self._spellings.tokens[position].tolist()
                if segment.item < kept:
                    spans.append(Span(len(history) - kept + segment.item, start, len(ids)))
                texts.append(self._spellings.texts[position])
        if not ids:
            raise PromptError(
                f"template '{self.template.name}' renders nothing for an empty history, and the "
                "tokenizer has no first token: begin the template with a text"
            )
        return Prompt(ids, "".join(texts), spans, kept)

    def _segments(self, question: _Question, shown: Positions, kept: int) -> list[Segment]:
        values = {name: self._value(name, question, shown, kept) for name in self.template.inputs}
        try:
            marked = self.template.render(**values)
        except PromptError as error:
            raise self._explained(error, question) from error
        system, parts = self.template.header.get("system"), self._images is not None
        return split_rendered(self.template, as_chat(self._tokenizer, marked, system, parts=parts))

    def _value(self, name: str, question: _Question, shown: Positions, kept: int) -> Any:
        """What one input of the template reads."""
        history, known = question.history, question.known
        if name == "history":
            slots = question.slots[len(history) - kept :]
            return [self._view(shown, place, slot) for place, slot in enumerate(slots)]
        if name == "item":
            return self._view(shown, kept, {})
        if name == "profile":
            return Profile(self._catalog.metadata, self._fields, [int(item) for item in history])
        if name == "request":
            return clean_text(question.text).lower()
        if name == "dialogue":
            return clean_value(question.utterances)
        if name == "named":
            return self._named(known)
        if name == "linked":
            first = len(shown) - len(question.linked)
            return [self._view(shown, place, {}) for place in range(first, len(shown))]
        if name != "examples":
            return clean_text(question.text)
        if known.shots is None:
            raise self._lacking("examples", known)
        place = kept + (question.item is not None)
        examples = []
        for shot in known.shots:
            slots = interaction_slots(len(shot.history), shot.times, shot.ratings)
            items = [self._view(shown, place + at, slot) for at, slot in enumerate([*slots, {}])]
            examples.append(SimpleNamespace(history=items[:-1], answer=items[-1]))
            place += len(items)
        return examples

    def _named(self, known: Known) -> list[str]:
        """What a dialogue named, each once, at its latest place."""
        entities = known.dialogue.entities if known.dialogue else ()
        latest = [clean_text(name) for name in dict.fromkeys(reversed(entities))]
        return latest[: self._config.max_history][::-1]

    def _view(self, shown: Positions, place: int, slots: Mapping[str, Any]) -> ItemView:
        return ItemView(mark_item(place), int(shown[place]), self._fields, slots)

    def _lacking(self, slot: str, known: Known) -> PromptError:
        teller = known.owner if known.dataset else "a history of item ids"
        return PromptError(
            f"template '{self.template.name}': the slot '{slot}' needs {NEEDS[slot]}, which "
            f"{teller} does not tell: use another template"
        )

    def _explained(self, error: PromptError, question: _Question) -> PromptError:
        """A template's error with the slot that is missing, or else the names that there are."""
        for slot in set(NEEDS).difference(self._catalog.metadata):
            if f"no attribute '{slot}'" in str(error):
                return self._lacking(slot, question.known)
        told = [name for slots in question.slots[-1:] for name in slots]
        fields = ", ".join([*told, *self._catalog.metadata]) or "nothing else"
        owner = question.known.owner
        return PromptError(f"{error}; items of {owner} have id, title, spelling and {fields}")


def split_rendered(template: Template, marked: str) -> list[Segment]:
    """The parts of what a template rendered.

    Raises:
        PromptError: It spoilt a mark.
    """
    try:
        return list(split_marks(marked))
    except ValueError as error:
        raise PromptError(
            f"template '{template.name}': {error}; print item.spelling without filters"
        ) from error


def prompt_ids(
    renderer: PromptRenderer,
    request: int,
    history: Positions = (),
    *,
    item: int | None = None,
    text: str = "",
    known: Known = NOTHING,
) -> list[int]:
    """The tokens of one request's prompt; see `PromptRenderer.render`.

    Raises:
        PromptError: It cannot be rendered; the message counts the requests from 0.
    """
    try:
        return renderer.render(history, item=item, text=text, known=known).ids
    except PromptError as error:
        raise PromptError(f"request {request}: {error}") from error


def _clean_fields(catalog: Catalog, position: int) -> dict[str, Any]:
    item = catalog[position]
    return {**clean_value(item.fields), "id": clean_text(item.id), "title": clean_text(item.title)}
