"""One part of a job: read its users, answer them, and write their answers in one step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from rec_gen.batches import like_batches
from rec_gen.bundle import Bundle
from rec_gen.errors import BundleError, DataError, NoEligibleItemError, PromptError, RuleError
from rec_gen.index import Filters
from rec_gen.options import popularity_for
from rec_gen.recommender import Recommender
from rec_gen.remote import RemoteRecommender
from rec_gen.rules import eligible_items
from rec_gen.slots import NEEDS
from serving.batch.config import LENGTH, BatchConfig
from serving.batch.input import Users
from serving.batch.output import Found, answer_table, failed_table, write_part
from serving.batch.parts import Part
from serving.batch.runtimes import load_recommender
from serving.halving import answer_each

ROW_ERRORS = (DataError, NoEligibleItemError, PromptError)
"""What is wrong with one row, and not with the job."""


@dataclass(frozen=True)
class Done:
    """What became of a part.

    Attributes:
        part: Its number.
        users: Its rows.
        failed: Those without an answer.
        prompt_tokens: The tokens of the prompts that were answered.
    """

    part: int
    users: int
    failed: int
    prompt_tokens: int


@dataclass(frozen=True)
class _Request:
    """A row that can be asked for; `shown` are the positions of its latest items."""

    row: int
    user: Any
    history: list[str]
    candidates: list[str]
    shown: list[int]


class Worker:
    """Does parts, one after the other; nothing of a part is kept.

    Args:
        config: The job.
        users: The table of users.
        recommender: Answers.

    Raises:
        BundleError: An explanation or an exposure is asked for, and the bundle has not learnt to
            give one, or holds no counts.
        PromptError: The prompt tells what a table of users does not.
        RuleError: The rule is wrong, or no item passes it.
    """

    def __init__(
        self, config: BatchConfig, users: Users, recommender: Recommender | RemoteRecommender
    ) -> None:
        _refuse_other_prompts(recommender.bundle)
        popularity_for(recommender.bundle, config.exposure)
        if config.where is not None and not eligible_items(recommender.catalog, config.where).any():
            raise RuleError(f"where '{config.where}': no item of the catalog passes it")
        if config.explain:
            recommender.bundle.task_template("explanation")
        self._config, self._users, self._recommender = config, users, recommender

    @classmethod
    def load(cls, config: BatchConfig, users: Users, digest: str) -> "Worker":
        """Load the bundle that a job began with.

        Args:
            config: The job.
            users: The table of users.
            digest: The digest of the bundle's manifest.

        Raises:
            BundleError: It cannot be used, or is another one.
        """
        recommender = load_recommender(config)
        if recommender.bundle.manifest.digest != digest:
            raise BundleError(f"{config.bundle}: is not the bundle that the job began with")
        return cls(config, users, recommender)

    def do(self, part: Part, advance: Callable[[float], object] = lambda _: None) -> Done:
        """Answer the users of a part and write its files.

        Args:
            part: Which rows.
            advance: Told after each batch how many users' worth of the part's tokens it was.

        Raises:
            RecGenError: The job cannot go on; then nothing is written.
        """
        rows = self._users.read(part.start, part.stop)
        requests, failed = self._requests(rows)
        found: dict[int, Found] = {}
        sizes = [self._size(request) for request in requests]
        share = len(part) / max(sum(sizes), 1)
        for batch in like_batches(sizes, [r.shown for r in requests], self._config.batch_size):
            asked = [requests[place] for place in batch]
            answers = answer_each(self._ask, asked, ROW_ERRORS)
            for request, answer in zip(asked, answers, strict=True):
                if isinstance(answer, Found):
                    found[request.row] = answer
                else:
                    failed.append((request.row, str(answer).removeprefix("request 0: ")))
            advance(share * sum(sizes[place] for place in batch))
        folder, explained = self._config.output, self._config.explain
        manifest = self._recommender.bundle.manifest
        write_part(
            answer_table(rows, found, manifest, explained=explained),
            failed_table(rows, failed),
            part.answers(folder),
            part.failed(folder),
        )
        tokens = sum(each.prompt_tokens for each in found.values())
        return Done(part.number, len(part), len(failed), tokens)

    def _requests(self, rows: pl.DataFrame) -> tuple[list[_Request], list[tuple[int, str]]]:
        """The rows that can be asked for, and why the others cannot."""
        requests: list[_Request] = []
        failed: list[tuple[int, str]] = []
        for row in rows.iter_rows(named=True):
            try:
                requests.append(self._request(row))
            except DataError as error:
                failed.append((row["row"], str(error)))
        return requests, failed

    def _request(self, row: dict[str, Any]) -> _Request:
        if row["user"] is None:
            raise DataError("the user is null: give every row an id")
        if row["history"] is None:
            raise DataError("the history is null: write an empty list where there is none")
        history, candidates = row["history"], row.get("candidates") or []
        if "candidates" in row and not candidates:
            raise DataError("there is no candidate to rank: name at least one item")
        catalog = self._recommender.catalog
        latest = self._recommender.bundle.manifest.prompt.max_history
        positions = [catalog.position(item) for item in history]
        for item in candidates:
            catalog.position(item)
        return _Request(row["row"], row["user"], history, candidates, positions[-latest:])

    def _size(self, request: _Request) -> int:
        """The tokens that a prompt spells items with; the rest is much the same for all."""
        spelled = self._recommender.bundle.spellings.tokens
        return 1 + sum(len(spelled[position]) for position in request.shown)

    def _ask(self, requests: Sequence[_Request]) -> list[Found]:
        config = self._config
        ranked = config.columns.candidates is not None
        k, which = config.k or LENGTH, dict[str, Any](where=config.where)
        if ranked:
            k = config.k or max(len(request.candidates) for request in requests)
            which = {"filters": [Filters((), r.candidates, config.where) for r in requests]}
        answers = self._recommender.recommend(
            [request.history for request in requests],
            k,
            exclude_seen=config.seen_is_excluded,
            score=config.score,
            beam_width=config.beam_width,
            exact=config.exact or ranked,
            exposure=config.exposure,
            batch_size=len(requests),
            **which,
        )
        found = []
        for request, answer in zip(requests, answers, strict=True):
            items = [one.item.id for one in answer]
            told: list[str | None] = []
            if config.explain:
                size = config.batch_size
                told = self._recommender.explain(request.history, items, batch_size=size)
            scores = [one.score for one in answer]
            found.append(Found(items, scores, told, answer.prompt_tokens))
        return found


def _refuse_other_prompts(bundle: Bundle) -> None:
    """Refuse at once what would fail for every row."""
    template = bundle.template
    read = {*template.inputs, *template.fields} - set(bundle.catalog.metadata)
    for slot in sorted(read & set(NEEDS)):
        raise PromptError(
            f"template '{template.name}': the slot '{slot}' needs {NEEDS[slot]}, which a table of "
            "users does not tell: use a bundle with another template"
        )
