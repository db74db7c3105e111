"""Replies to dialogues: what was understood filters, the model writes, items come from the trie."""

from collections.abc import Sequence
from functools import cached_property

import torch

from rec_gen.answering import answer_question
from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dialogue
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.writing import Limits, Text, TextTokens, eligible, write
from rec_gen.errors import BundleError, PromptError
from rec_gen.index import Filters, Index
from rec_gen.markers import marker_ids
from rec_gen.prompting import PromptRenderer
from rec_gen.questions import find_question
from rec_gen.replying import Draft, Reply, Turn, quoted
from rec_gen.slots import Known
from rec_gen.tasks import REPLY
from rec_gen.text import clean_words
from rec_gen.understanding import Request, nothing_left, understand
from rec_gen.wishes import Wish


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
        renderer = index.renderer.using(self._bundle.task_template(REPLY))
        tokens = self._tokens
        requests = understand(index, dialogues, histories, ignore, given)
        messages = [turns[-1].text for turns in dialogues]
        replies: dict[int, Reply] = {}
        for n, (request, message) in enumerate(zip(requests, messages, strict=True)):
            fixed = self._fixed(index, request, message)
            if fixed is not None:
                replies[n] = _reply(index, request, fixed)
        rest = [n for n in range(len(requests)) if n not in replies]
        for start in range(0, len(rest), batch_size):
            batch = rest[start : start + batch_size]
            prompts = [_prompt(renderer, n, index, requests[n]) for n in batch]
            texts = write(
                self._runtime,
                prompts,
                index.trie,
                index.spellings.tokens,
                [requests[n].leaves for n in batch],
                [requests[n].blocked for n in batch],
                tokens,
                limits,
            )
            for n, prompt, text in zip(batch, prompts, texts, strict=True):
                draft = self._draft(index, requests[n], text)
                replies[n] = _reply(index, requests[n], draft, len(prompt), text.tokens)
        return [replies[n] for n in range(len(requests))]

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

    def _fixed(self, index: Index, request: Request, message: str) -> Draft | None:
        """What needs no text of the model: to a question, or where nothing is left."""
        listener = index.names.listener
        question = find_question(listener, message, request.heard.shown)
        if question is not None:
            return answer_question(self._runtime, self._bundle, index, listener, request, question)
        if eligible(request.leaves, request.blocked):
            return None
        return Draft(nothing_left(request))

    def _draft(self, index: Index, request: Request, text: Text) -> Draft:
        """A text as people read it; titles stand in the place of spellings."""
        draft = Draft(_problems(request.heard.latest))
        titles, nameable = index.names.titles, request.nameable
        for place, piece in enumerate(text.pieces):
            words = self._bundle.tokenizer.decode(piece).replace("\ufffd", "")  # half a character
            said = titles.without(clean_words(words), nameable, request.spoken)
            draft.say(said.lstrip() if draft.text[-1:] in ("", " ") else said)
            if place < len(text.items):
                item, score = text.items[place]
                draft.say(" " if draft.text[-1:].isalnum() else "")
                draft.name(index.catalog[item], score)
        draft.text = draft.text.rstrip()
        return draft


def _reply(
    index: Index, request: Request, draft: Draft, prompt_tokens: int = 0, answer_tokens: int = 0
) -> Reply:
    return Reply(
        draft.text,
        tuple(draft.items),
        request.heard.wishes,
        request.filters,
        index.version,
        prompt_tokens,
        answer_tokens,
    )


def _problems(wishes: Sequence[Wish]) -> str:
    """Why wishes cannot be kept, a sentence for each reason."""
    unkept: dict[str, list[Wish]] = {}
    for wish in wishes:
        if wish.problem is not None:
            unkept.setdefault(wish.problem, []).append(wish)
    return "".join(f"{quoted(each)}: {problem}. " for problem, each in unkept.items())


def _prompt(renderer: PromptRenderer, number: int, index: Index, request: Request) -> list[int]:
    """The tokens of a prompt; a last message that does not fit is read from its end.

    Raises:
        PromptError: Not even an empty message fits.
    """
    items = [*request.history, *index.positions(request.heard.named)]
    items = list(dict.fromkeys(reversed(items)))[::-1]
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
