"""Replies to dialogues: what was understood filters, the model writes, items come from the trie."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import torch

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dialogue
from rec_gen.decoding.filters import LeafFilter
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.writing import Limits, Text, TextTokens, eligible, write
from rec_gen.errors import BundleError, DataError, DecodingError, GroundingError, PromptError
from rec_gen.explaining import explain
from rec_gen.grounding import check_explanation
from rec_gen.hearing import Heard, hear
from rec_gen.index import Filters, Index
from rec_gen.markers import marker_ids
from rec_gen.prompting import PromptRenderer
from rec_gen.questions import compare, find_question
from rec_gen.replying import Draft, Reply, Turn, quoted
from rec_gen.slots import Known
from rec_gen.text import clean_text
from rec_gen.titles import Titles
from rec_gen.wishes import Listener, filters

NO_REASON = "It shares nothing with your history that few others have."
NOTHING_LEFT = "There is nothing left to recommend."


@dataclass(frozen=True)
class _Request:
    heard: Heard
    history: list[int]
    seen: tuple[str, ...]
    named: list[int]
    given: Filters
    filters: Filters
    leaves: LeafFilter
    blocked: list[int]
    refused: list[int]

    @property
    def nameable(self) -> npt.NDArray[np.bool_]:
        """Whose titles free text may hold, bool [items]."""
        passed = (np.diff(self.leaves.sums_on_host) > 0)[self.leaves.leaf_of]
        passed[self.refused] = False
        return passed


class Replier:
    """Replies with the items of a catalog.

    Items are found in the trie under the filters, so a marked item is always eligible. Free text is
    one printable line; it holds no "<", so that it can forge no marker, and no title of an item
    that the wishes or filters refuse, see `rec_gen.titles`. Names that no catalog knows can
    stand in it, which is why only marked items count as recommended.

    Args:
        runtime: The model.
        bundle: What was trained.
    """

    def __init__(self, runtime: Runtime, bundle: Bundle) -> None:
        self._runtime, self._bundle = runtime, bundle
        self._listener = lru_cache(maxsize=1)(Listener)
        self._titles = lru_cache(maxsize=1)(Titles)

    def reply(
        self,
        index: Index,
        dialogues: Sequence[Sequence[Turn]],
        histories: Sequence[Sequence[str]] | None,
        ignore: Sequence[Sequence[str]] | None,
        given: Sequence[Filters] | None,
        limits: Limits,
        batch_size: int,
    ) -> list[Reply]:
        """Reply to the last message of each dialogue; see `Recommender.reply`."""
        renderer = index.renderer.using(self._bundle.task_template("reply"))
        tokens = self._tokens
        requests = self._requests(index, dialogues, histories, ignore, given)
        last = [turns[-1].text for turns in dialogues]
        replies = [
            self._answered(index, request, message, batch_size)
            for request, message in zip(requests, last, strict=True)
        ]
        open_places = [place for place, reply in enumerate(replies) if reply is None]
        for start in range(0, len(open_places), batch_size):
            places = open_places[start : start + batch_size]
            batch = [requests[place] for place in places]
            prompts = [_prompt(renderer, n, requests[n]) for n in places]
            texts = write(
                self._runtime,
                prompts,
                index.trie,
                index.spellings.tokens,
                [request.leaves for request in batch],
                [request.blocked for request in batch],
                tokens,
                limits,
            )
            for place, prompt, text in zip(places, prompts, texts, strict=True):
                draft = self._draft(index, requests[place], text)
                reply = _reply(index, requests[place], draft)
                replies[place] = replace(
                    reply, prompt_tokens=len(prompt), answer_tokens=text.tokens
                )
        return [reply for reply in replies if reply is not None]

    @cached_property
    def _tokens(self) -> TextTokens:
        """All tokens but added ones of several characters, which no text of training holds."""
        tokenizer = self._bundle.tokenizer
        opens, closes = marker_ids(tokenizer)
        if tokenizer.eos_token_id is None:
            raise BundleError("the bundle's tokenizer has no end token, which a reply needs")
        added = {token for name, token in tokenizer.get_added_vocab().items() if len(name) > 1}
        plain = set(tokenizer.get_vocab().values()) - added - set(tokenizer.all_special_ids)
        ids = torch.tensor(sorted(plain), device=self._runtime.device)
        return TextTokens(ids, opens, closes, int(tokenizer.eos_token_id))

    def _requests(
        self,
        index: Index,
        dialogues: Sequence[Sequence[Turn]],
        histories: Sequence[Sequence[str]] | None,
        ignore: Sequence[Sequence[str]] | None,
        given: Sequence[Filters] | None,
    ) -> list[_Request]:
        for name, each in (("histories", histories), ("ignore", ignore), ("filters", given)):
            if each is not None and len(each) != len(dialogues):
                raise DecodingError(
                    f"{len(dialogues)} dialogues and {len(each)} {name}: give one for each"
                )
        for n, turns in enumerate(dialogues):
            if not turns or turns[-1].role != "user":
                raise DataError(f"request {n}: its dialogue must end with a turn of the user")
        size = len(dialogues)
        read = [index.positions(history) for history in histories or [()] * size]
        listener = self._listener(index.catalog)
        heard = [
            hear(listener, turns, words)
            for turns, words in zip(dialogues, ignore or [()] * size, strict=True)
        ]
        own = list(given or [Filters()] * size)
        seen = [
            (*ids, *each.recommended)
            for ids, each in zip(histories or [()] * size, heard, strict=True)
        ]
        whole = [
            _joined(one, filters(each.wishes, gone))
            for one, each, gone in zip(own, heard, seen, strict=True)
        ]
        leaves, blocked = index.leaf_filters(size, whole, Filters())
        refused = [
            index.positions([*one.block, *(item for wish in each.wishes for item in wish.block)])
            for one, each in zip(own, heard, strict=True)
        ]
        named = [index.positions(each.named) for each in heard]
        return list(map(_Request, heard, read, seen, named, own, whole, leaves, blocked, refused))

    def _answered(
        self, index: Index, request: _Request, message: str, batch_size: int
    ) -> Reply | None:
        """The reply that needs no text of the model: to a question, or where nothing is left."""
        listener = self._listener(index.catalog)
        question = find_question(listener, message, request.heard.shown)
        if question is not None:
            places = index.positions(question.items)
            if question.kind == "compare":
                asked = [index.catalog[place] for place in places]
                return _reply(index, request, compare(listener, asked, question.word))
            return _reply(index, request, self._why(index, request, places, batch_size))
        if eligible(request.leaves, request.blocked):
            return None
        return _reply(index, request, Draft(_nothing_left(index, request)))

    def _why(
        self, index: Index, request: _Request, places: Sequence[int], batch_size: int
    ) -> Draft:
        """A true sentence about each item, its title before it."""
        if not places:
            return Draft("Nothing was recommended yet.")
        chosen = index.positions(request.heard.chosen)
        history = [*request.history, *(one for one in chosen if one not in request.refused)]
        sentences = self._sentences(index, history, places, batch_size)
        lexicon = self._listener(index.catalog).lexicon
        told = [index.catalog[place] for place in history]
        draft = Draft()
        for place, sentence in zip(places, sentences, strict=True):
            item = index.catalog[place]
            try:
                check_explanation(lexicon, sentence or "", item, told)
            except GroundingError:
                sentence = None
            draft.say(" " if draft.text else "").name(item).say(f": {sentence or NO_REASON}")
        return draft

    def _sentences(
        self, index: Index, history: list[int], places: Sequence[int], batch_size: int
    ) -> list[str | None]:
        """What the model says where it learnt to explain, else the rarest reason."""
        try:
            template = self._bundle.task_template("explanation")
        except BundleError:
            found = [index.reasons.find(history, place) for place in places]
            return [
                None if one is None else f"It shares {one.value} ({one.field}) with {one.title}."
                for one in found
            ]
        renderer = index.renderer.using(template)
        return explain(self._runtime, renderer, index.reasons, history, places, batch_size)

    def _draft(self, index: Index, request: _Request, text: Text) -> Draft:
        """A text as people read it; titles stand in the place of spellings."""
        problems = [wish for wish in request.heard.latest if wish.problem]
        draft = Draft("".join(f"{quoted([one])}: {one.problem}. " for one in problems))
        titles, nameable = self._titles(index.catalog), request.nameable
        for place, piece in enumerate(text.pieces):
            said = _printable(self._bundle.tokenizer.decode(piece))
            said = titles.without(said, nameable)
            draft.say(said.lstrip() if draft.text[-1:] in ("", " ") else said)
            if place < len(text.items):
                item, score = text.items[place]
                draft.say(" " if draft.text[-1:].isalnum() else "")
                draft.name(index.catalog[item], score)
        draft.text = draft.text.rstrip()
        return draft


def _reply(index: Index, request: _Request, draft: Draft) -> Reply:
    return Reply(
        draft.text, tuple(draft.items), request.heard.wishes, request.filters, index.version
    )


def _joined(one: Filters, other: Filters) -> Filters:
    """Both at once; only the first may allow."""
    rules = [f"({rule})" for rule in (one.where, other.where) if rule is not None]
    block = tuple(dict.fromkeys([*one.block, *other.block]))
    return Filters(block, one.allow, " and ".join(rules) or None)


def _nothing_left(index: Index, request: _Request) -> str:
    """A sentence that names the wish after which nothing is left."""
    for count in range(len(request.heard.wishes) + 1):
        wishes = request.heard.wishes[:count]
        kept = _joined(request.given, filters(wishes, request.seen))
        (leaves,), (blocked,) = index.leaf_filters(1, [kept], Filters())
        if wishes and not eligible(leaves, blocked):
            return f"Nothing is left with {quoted(wishes[-1:])}. Take it back, or ask for less."
        if not eligible(leaves, blocked):
            break
    return NOTHING_LEFT


def _prompt(renderer: PromptRenderer, number: int, request: _Request) -> list[int]:
    """The tokens of a prompt; a last message that does not fit is read from its end.

    Raises:
        PromptError: Not even an empty message fits.
    """
    items = list(dict.fromkeys(reversed([*request.history, *request.named])))[::-1]
    dialogue = request.heard.dialogue
    while True:
        try:
            return renderer.render(items, known=Known(dialogue=dialogue)).ids
        except PromptError as error:
            shorter = _latter_half(dialogue)
            if shorter == dialogue and not items:
                raise PromptError(f"request {number}: {error}") from error
            dialogue, items = shorter, items[(len(items) + 1) // 2 :]


def _latter_half(dialogue: Dialogue) -> Dialogue:
    """The end of the last utterance, and of what was named."""
    last, named = dialogue.utterances[-1], dialogue.entities
    return Dialogue((last[(len(last) + 1) // 2 :],), named[(len(named) + 1) // 2 :])


def _printable(text: str) -> str:
    """Text of the model as a part of one line that holds no markup and no half of a character."""
    text = text.replace("\ufffd", "").replace("<", "\u2039")
    return clean_text(f"|{text}|")[1:-1]
