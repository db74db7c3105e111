"""A recommender in another process, and what both ends of the way to it need.

What goes between the processes are plain values alone, as vLLM sends nothing else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Protocol

import torch

from rec_gen import errors
from rec_gen.answers import Answer, Recommendation
from rec_gen.bundle import Bundle
from rec_gen.catalog import Item
from rec_gen.decoding.sampling import Sampling
from rec_gen.index import Filters
from rec_gen.live_bundle import LiveBundle
from rec_gen.replying import Mentioned, Reply, Turn
from rec_gen.respelling import Codes
from rec_gen.wishes import Wish

if TYPE_CHECKING:
    from rec_gen.recommender import Recommender


class Call(Protocol):
    """Sends a call to where `answer_call` has it."""

    def __call__(
        self,
        method: str,
        arguments: list[Any],
        options: dict[str, Any],
        *,
        domain: str | None = None,
    ) -> Any:
        """What `answer_call` returns there.

        Args:
            method: The name of a method.
            arguments: Its arguments.
            options: Its options.
            domain: The catalog whose recommender it is; None is the first.
        """


def answer_call(
    recommenders: Mapping[str, "Recommender"],
    method: str,
    arguments: list[Any],
    options: dict[str, Any],
    domain: str | None = None,
) -> dict[str, Any]:
    """Recommend, search, explain, reply or update, as `Recommender` does.

    Args:
        recommenders: By domain, that of the first catalog first.
        method: What to do.
        arguments: What is given.
        options: What else is asked for.
        domain: Whose recommender does it; None is the first.

    Returns:
        What `found` reads.
    """
    recommender = recommenders[domain or next(iter(recommenders))]
    try:
        if method == "update":
            put, remove, codes = arguments
            items = [Item(*each) for each in put]
            return {"found": recommender.update(put=items, remove=remove, codes=codes)}
        if method == "explain":
            return {"found": recommender.explain(*arguments, **options)}
        if method == "reply":
            dialogues, histories = arguments
            turns = [
                [Turn(role, text, tuple(items)) for role, text, items in dialogue]
                for dialogue in dialogues
            ]
            replies = recommender.reply(turns, histories, **_typed(options))
            return {"found": [_said(reply) for reply in replies]}
        searches: dict[str, Callable[..., list[Answer]]] = {
            "recommend": recommender.recommend,
            "search": recommender.search,
        }
        answers = searches[method](*arguments, **_typed(options))
        return {"found": [_told(answer) for answer in answers]}
    except errors.RecGenError as error:
        return refusal(error)


def refusal(error: errors.RecGenError) -> dict[str, Any]:
    """An error as `found` reads it."""
    return {"error": [type(error).__name__, str(error), vars(error)]}


def found(said: Mapping[str, Any]) -> Any:
    """What a worker found, out of what it said.

    Raises:
        RecGenError: The worker refused.
    """
    if "error" not in said:
        return said["found"]
    kind, message, told = said["error"]
    known: type[errors.RecGenError] = getattr(errors, kind)
    error = known.__new__(known)
    error.args = (message,)
    vars(error).update(told)
    raise error


class RemoteRecommender(LiveBundle):
    """Has lists and reasons found by a recommender in another process.

    Args:
        bundle: The bundle that the other process has loaded, or one of its domains; the weights are
            not needed here.
        call: Reaches the other process.
        domain: The name of the domain there; None is the first.
    """

    def __init__(self, bundle: Bundle, call: Call, domain: str | None = None) -> None:
        super().__init__(bundle, torch.device("cpu"))
        self._call, self._domain = call, domain

    def recommend(
        self, histories: Sequence[Sequence[str]], k: int = 10, **options: Any
    ) -> list[Answer]:
        """As `Recommender.recommend` does."""
        return self._ask("recommend", [list(map(list, histories)), k], options)

    def search(self, requests: Sequence[str], k: int = 10, **options: Any) -> list[Answer]:
        """As `Recommender.search` does."""
        return self._ask("search", [list(requests), k], options)

    def explain(
        self, history: Sequence[str], items: Sequence[str], **options: Any
    ) -> list[str | None]:
        """As `Recommender.explain` does."""
        said: list[str | None] = self._found("explain", [list(history), list(items)], options)
        return said

    def reply(
        self,
        dialogues: Sequence[Sequence[Turn]],
        histories: Sequence[Sequence[str]] | None = None,
        **options: Any,
    ) -> list[Reply]:
        """As `Recommender.reply` does."""
        turns = [[[*astuple(turn)] for turn in dialogue] for dialogue in dialogues]
        read = None if histories is None else [list(history) for history in histories]
        if options.get("ignore") is not None:
            options["ignore"] = [list(words) for words in options["ignore"]]
        replies = []
        for row in self._rows("reply", [turns, read], options):
            items = [
                Mentioned(self.catalog[self.catalog.position(item)], *rest)
                for item, *rest in row.pop("items")
            ]
            understood = [
                Wish(said, rule, tuple(block), *rest)
                for said, rule, block, *rest in row.pop("understood")
            ]
            block, allow, where = row.pop("filters")
            kept = Filters(tuple(block), None if allow is None else tuple(allow), where)
            replies.append(Reply(row.pop("text"), tuple(items), tuple(understood), kept, **row))
        return replies

    def update(
        self,
        *,
        put: Iterable[Item] = (),
        remove: Iterable[str] = (),
        codes: Codes | None = None,
        commit: Callable[[], object] | None = None,
    ) -> int:
        """As `Recommender.update` does, there too."""
        put, remove = list(put), list(remove)
        codes = self.codes_for(put, codes)
        items = [[item.id, item.title, dict(item.fields)] for item in put]
        own = {item: list(each) for item, each in codes.items()}

        def both() -> None:
            if commit is not None:
                commit()
            self._found("update", [items, remove, own], {})

        return super().update(put=put, remove=remove, codes=codes, commit=both)

    def _ask(self, method: str, arguments: list[Any], options: dict[str, Any]) -> list[Answer]:
        rows = self._rows(method, arguments, options)
        catalog = self.catalog
        answers = []
        for row in rows:
            items = (catalog[catalog.position(item)] for item in row.pop("items"))
            pairs = zip(items, row.pop("scores"), strict=True)
            answers.append(Answer(tuple(Recommendation(*pair) for pair in pairs), **row))
        return answers

    def _rows(self, method: str, arguments: list[Any], options: dict[str, Any]) -> list[Any]:
        rows: list[Any] = self._found(method, arguments, _plain(options))
        if any(row["version"] > self.version for row in rows):
            with self._changing:  # the other process knows a change that is about to be known here
                pass
        return rows

    def _found(self, method: str, arguments: list[Any], options: dict[str, Any]) -> Any:
        return found(self._call(method, arguments, options, domain=self._domain))


def remote_domains(bundle: Bundle, call: Call) -> dict[str, RemoteRecommender]:
    """Recommenders in another process for the further catalogs of its bundle, by domain."""
    return {name: RemoteRecommender(bundle.domain(name), call, name) for name in bundle.domains}


def _told(answer: Answer) -> dict[str, Any]:
    return {
        "items": [one.item.id for one in answer],
        "scores": [one.score for one in answer],
        "certified": answer.certified,
        "version": answer.version,
        "prompt_tokens": answer.prompt_tokens,
        "answer_tokens": answer.answer_tokens,
    }


def _said(reply: Reply) -> dict[str, Any]:
    return {
        "text": reply.text,
        "items": [[one.item.id, one.score, one.start, one.stop] for one in reply.items],
        "understood": [[*astuple(wish)] for wish in reply.understood],
        "filters": _listed(reply.filters),
        "version": reply.version,
        "prompt_tokens": reply.prompt_tokens,
        "answer_tokens": reply.answer_tokens,
    }


def _listed(filters: Filters) -> list[Any]:
    allow = None if filters.allow is None else list(filters.allow)
    return [list(filters.block), allow, filters.where]


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without types of our own."""
    plain = dict(options)
    if plain.get("filters") is not None:
        plain["filters"] = list(map(_listed, plain["filters"]))
    if plain.get("sampling") is not None:
        plain["sampling"] = list(astuple(plain["sampling"]))
    return plain


def _typed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they were before `_plain`."""
    typed = dict(options)
    if typed.get("filters") is not None:
        typed["filters"] = [Filters(*each) for each in typed["filters"]]
    if typed.get("sampling") is not None:
        typed["sampling"] = Sampling(*typed["sampling"])
    return typed
