"""The Python API: histories in, catalog items out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rec_gen.answers import Answer, Recommendation, scaling
from rec_gen.bundle import Bundle
from rec_gen.calibration import Scale
from rec_gen.data.dataset import Dialogue
from rec_gen.decoding.filters import leaves_of
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.runtimes import runtime_for
from rec_gen.decoding.sampling import Sampling
from rec_gen.decoding.score import Score
from rec_gen.decoding.search import Ranking, SearchResult, search
from rec_gen.decoding.writing import Limits
from rec_gen.errors import DataError, PromptError
from rec_gen.explaining import explain
from rec_gen.exposure import rarity
from rec_gen.index import Filters, Index
from rec_gen.live_bundle import LiveBundle
from rec_gen.metrics import Floats
from rec_gen.models import move_to
from rec_gen.options import cap_of, checked_score, known_of, popularity_for
from rec_gen.preferences import OwnScores
from rec_gen.prompting import prompt_ids
from rec_gen.rating import rate
from rec_gen.replying import Reply, Turn
from rec_gen.text import clean_text

if TYPE_CHECKING:
    from rec_gen.replier import Replier


class Recommender(LiveBundle):
    """Recommends items of a bundle's catalog.

    Args:
        bundle: What was trained.
        runtime: What runs the bundle's model, where that is not transformers.

    Example:
        >>> recommender = Recommender.load("runs/quickstart/bundle")  # doctest: +SKIP
        >>> recommender.recommend([["50", "172"]], k=3)  # doctest: +SKIP
    """

    def __init__(self, bundle: Bundle, runtime: Runtime | None = None) -> None:
        self._runtime = runtime or runtime_for(bundle.model)
        super().__init__(bundle, self._runtime.device)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str | None = None,
        template: str | None = None,
        domain: str | None = None,
    ) -> "Recommender":
        """Load a bundle.

        Args:
            path: The bundle's folder.
            device: Where to run, such as `cpu` or `cuda`; CUDA if there is one.
            template: A template that you mean to use; it must be the one of training.
            domain: Which of its catalogs, where the bundle has several; None is the first.

        Raises:
            BundleError: The bundle is incomplete or was changed, or has no such domain.
            ModelError: torch cannot use the device.
        """
        bundle = Bundle.load(Path(path), template)
        move_to(bundle.model, device)
        return cls(bundle if domain is None else bundle.domain(domain))

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        block: Iterable[str] = (),
        allow: Iterable[str] | None = None,
        where: str | None = None,
        filters: Sequence[Filters] | None = None,
        score: Score | None = None,
        beam_width: int = 20,
        exact: bool = False,
        batch_size: int = 32,
        sampling: Sampling | None = None,
        max_per: tuple[str, int] | None = None,
        item_scores: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None,
        item_weight: float = 1.0,
        prior_weight: float = 0.0,
        exposure: float = 0.0,
        scale: Scale = "log",
        dialogues: Sequence[Dialogue | None] | None = None,
    ) -> list[Answer]:
        """Recommend items after each history.

        Args:
            histories: For each request, item ids, oldest first; an empty history is allowed.
            k: Items to return for each request.
            exclude_seen: Never return an item of the history.
            block: Item ids that are never returned.
            allow: The only item ids that may be returned; None allows the whole catalog.
            where: A rule over the catalog's columns, such as `price < 20 and "Drama" in genres`;
                see `rec_gen.rules.eligible_items`. A rule is remembered.
            filters: For each request, what it alone may return; instead of block, allow and where.
            score: `lm` or `catalog`, see `rec_gen.decoding.search.search`; None is the one that the
                bundle was trained by.
            beam_width: Prefixes that go on at once; more find likelier items.
            exact: Search on until the likeliest items are found for certain.
            batch_size: Requests that run together.
            sampling: Draw items without replacement instead of taking the likeliest; they come in
                the order of their draw. The same seed, history and options draw the same items.
            max_per: A column and how many items of each of its values may be returned, such as
                `("category", 3)`; items without a value are one category.
            item_scores: Your own scores by item id, one mapping for all requests or one for each;
                an item that is not named has 0. They are added to the log-probabilities, and
                `exact` and the beam go by the sum.
            item_weight: What your own scores are multiplied by.
            prior_weight: What the log-probabilities of the bundle's counted prior are multiplied by
                before they are added to the model's, during the search too: above 0, the answer is
                the hybrid's and not the model's alone.
            exposure: How much rarer items are raised, from 0 to 100: this times the negative
                logarithm of an item's share of the training interactions is added to its
                log-probability, during the search too; see `rec_gen.exposure.rarity`. Where the
                bundle holds a counted prior.
            scale: What the scores mean. `log` is the log-probability at temperature 1 plus what was
                added to it; `list` is the item's share of the returned list, which sums to 1;
                `probability` is that of being the next interaction, calibrated on the validation
                split and its filters.
            dialogues: For each request, what was said before it, where the bundle's template reads
                dialogues.

        Returns:
            For each request exactly `k` distinct eligible items, best first, or all that the
            filters and `max_per` allow when these are fewer.

        Raises:
            DataError: An item id is not in the catalog, or its own score is no number or weighs
                more than 1e9.
            RuleError: The rule is wrong.
            DecodingError: An option or a combination of options has no meaning.
            BundleError: The bundle has no calibration, no prior, or no counts of its items.
            PromptError: The template cannot render a request's history, or not within its budget,
                or reads a dialogue and there is none.
            NoEligibleItemError: Every item is filtered for a request.
        """
        score = checked_score(
            score, self.bundle.manifest.score, k=k, beam_width=beam_width, batch_size=batch_size
        )
        index = self._index
        prior = self.bundle.prior_for(prior_weight)
        popularity = popularity_for(self.bundle, exposure)
        combined = item_scores is not None or prior is not None or popularity is not None
        scaled = scaling(self.bundle.manifest, scale, score, combined=combined)
        cap = None if max_per is None else cap_of(index.catalog, max_per)
        own = None
        if item_scores is not None:
            own = OwnScores(index.catalog, item_scores, item_weight, len(histories))
        raised = None
        if popularity is not None:
            raised = torch.from_numpy(exposure * rarity(popularity, len(index.catalog)))[None]
        read = [index.positions(history) for history in histories]
        known = known_of(dialogues, len(read))
        shared = Filters(block, allow, where)
        own_filters, blocked = index.leaf_filters(len(read), filters, shared)
        if exclude_seen:
            blocked = [[*seen, *more] for seen, more in zip(read, blocked, strict=True)]
        lengths: list[int] = []
        results: list[SearchResult] = []
        for start in range(0, len(read), batch_size):
            batch = read[start : start + batch_size]
            leaves = leaves_of(own_filters, blocked, start, batch_size)
            prompts = [
                prompt_ids(index.renderer, start + n, seen, known=known[start + n])
                for n, seen in enumerate(batch)
            ]
            lengths += map(len, prompts)
            bonus = None if own is None else own.bonus(start, start + batch_size)
            if prior is not None:
                counted = prior_weight * prior.log_probs(batch, index.offered)
                bonus = counted if bonus is None else counted + bonus
            if raised is not None:
                bonus = raised if bonus is None else raised + bonus
            results += search(
                self._runtime,
                prompts,
                index.trie,
                leaves,
                k,
                min(beam_width, len(index.catalog)),
                score,
                exact=exact,
                ranking=Ranking(sampling, cap, bonus),
            )
        return _answers(index, results, scaled, lengths)

    def search(
        self,
        requests: Sequence[str],
        k: int = 10,
        *,
        block: Iterable[str] = (),
        allow: Iterable[str] | None = None,
        where: str | None = None,
        filters: Sequence[Filters] | None = None,
        score: Score | None = None,
        beam_width: int = 20,
        exact: bool = False,
        batch_size: int = 32,
        sampling: Sampling | None = None,
        max_per: tuple[str, int] | None = None,
    ) -> list[Answer]:
        """Find items for requests in words, where the bundle was trained with a `search` task.

        Args:
            requests: A few words each, such as `"space adventure"`; capitals change nothing.
            k: Items to return for each request.
            block: As in `recommend`, and so are all that follow.
            allow: The only item ids that may be returned.
            where: A rule over the catalog's columns.
            filters: For each request, instead of the three before.
            score: `lm` or `catalog`.
            beam_width: Prefixes that go on at once.
            exact: Search on until the likeliest items are found for certain.
            batch_size: Requests that run together.
            sampling: Draw items instead of taking the likeliest.
            max_per: A column, and how many items of each of its values an answer may have.

        Returns:
            For each request exactly `k` distinct eligible items, best first (drawn ones in the
            order of their draw), or fewer where no more are eligible or `max_per` lets no more in.

        Raises:
            BundleError: The bundle was trained without such a task.
            PromptError: A request has no text, does not fit the budget, or one text stands in the
                place of many.
            RecGenError: As in `recommend`.
        """
        score = checked_score(
            score, self.bundle.manifest.score, k=k, beam_width=beam_width, batch_size=batch_size
        )
        index = self._index
        renderer = index.renderer.using(self.bundle.task_template("search"))
        if isinstance(requests, str):
            raise PromptError(f"'{requests}' stands where a list of requests belongs")
        for request, text in enumerate(requests):
            if not isinstance(text, str) or not clean_text(text):
                raise PromptError(f"request {request}: {text!r} has no text; give it some words")
        prompts = [prompt_ids(renderer, n, text=text) for n, text in enumerate(requests)]
        shared = Filters(block, allow, where)
        own_filters, blocked = index.leaf_filters(len(prompts), filters, shared)
        cap = None if max_per is None else cap_of(index.catalog, max_per)
        results: list[SearchResult] = []
        for start in range(0, len(prompts), batch_size):
            results += search(
                self._runtime,
                prompts[start : start + batch_size],
                index.trie,
                leaves_of(own_filters, blocked, start, batch_size),
                k,
                min(beam_width, len(index.catalog)),
                score,
                exact=exact,
                ranking=Ranking(sampling, cap, None),
            )
        return _answers(index, results, list, map(len, prompts))

    def rate(
        self, histories: Sequence[Sequence[str]], items: Sequence[str], *, batch_size: int = 32
    ) -> Floats:
        """How likely the answer to a `rating` task is yes, where the bundle was trained with one.

        Args:
            histories: For each request, item ids, oldest first; an empty history is allowed.
            items: For each request, the id of the item that is asked about.
            batch_size: Requests that run together.

        Returns:
            float64 [requests], from 0 to 1: the softmax over the tokens by which the two answers
            differ first.

        Raises:
            BundleError: The bundle was trained without such a task.
            DataError: An item id is not in the catalog, or there are not as many items as
                histories.
            PromptError: The template cannot render a request, or not within its budget.
        """
        index = self._index
        renderer = index.renderer.using(self.bundle.task_template("rating"))
        asked = index.positions(items)
        if len(asked) != len(histories):
            raise DataError(f"{len(histories)} histories and {len(asked)} items: give one for each")
        read = [index.positions(history) for history in histories]
        checked_score(None, self.bundle.manifest.score, batch_size=batch_size)
        return rate(self._runtime, renderer, read, asked, batch_size)

    def explain(
        self, history: Sequence[str], items: Sequence[str], *, batch_size: int = 32
    ) -> list[str | None]:
        """Why items fit a history, where the bundle was trained with an `explanation` task.

        Only what is true can be said: the model chooses among the things that an item shares with
        those of the history that its prompt shows.

        Args:
            history: Item ids, oldest first.
            items: The ids of the items that are asked about.
            batch_size: Items that are asked about together.

        Returns:
            A sentence for each item; None where it shares nothing that few others have.

        Raises:
            BundleError: The bundle was trained without such a task.
            DataError: An item id is not in the catalog.
            PromptError: The template cannot render a question, or not within its budget.
        """
        index = self._index
        renderer = index.renderer.using(self.bundle.task_template("explanation"))
        read, asked = index.positions(history), index.positions(items)
        checked_score(None, self.bundle.manifest.score, batch_size=batch_size)
        return explain(self._runtime, renderer, index.reasons, read, asked, batch_size)

    def reply(
        self,
        dialogues: Sequence[Sequence[Turn]],
        histories: Sequence[Sequence[str]] | None = None,
        *,
        ignore: Sequence[Sequence[str]] | None = None,
        filters: Sequence[Filters] | None = None,
        items: int = 3,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
        batch_size: int = 32,
    ) -> list[Reply]:
        """Reply to dialogues, where the bundle was trained with a `reply` task; see `Replier`.

        Args:
            dialogues: For each request its turns, oldest first, the last one the user's.
            histories: For each request, item ids, oldest first, which are not recommended.
            ignore: For each request, which wishes were misunderstood and do not hold: their `said`,
                or `2: no horror` for a `said` of the first two messages of the user alone.
            filters: For each request, what holds beside its wishes.
            items: Most items of a reply; it names at least one where any is eligible.
            max_tokens: Tokens after which a reply ends; an item is always named in full.
            temperature: 0 writes what is likeliest, more draws.
            seed: The same seed, dialogue and history draw the same reply.
            batch_size: Requests that run together.

        Raises:
            BundleError: The bundle was trained without such a task.
            DataError: A dialogue does not end with a user's turn, or an item id is not known.
            RecGenError: As in `recommend`.
        """
        score = checked_score(
            None,
            self.bundle.manifest.score,
            items=items,
            max_tokens=max_tokens,
            batch_size=batch_size,
        )
        limits = Limits(items, max_tokens, temperature, seed, score)
        return self._replier.reply(
            self._index, dialogues, histories, ignore, filters, limits, batch_size
        )

    @cached_property
    def _replier(self) -> "Replier":
        from rec_gen.replier import Replier  # needs scikit-learn, and lists do not

        return Replier(self._runtime, self.bundle)


def _answers(
    index: Index,
    results: Sequence[SearchResult],
    scaled: Callable[[list[float]], list[float]],
    lengths: Iterable[int],
) -> list[Answer]:
    answers = []
    for result, length in zip(results, lengths, strict=True):
        pairs = zip(result.items, scaled(result.scores), strict=True)
        found = tuple(Recommendation(index.catalog[item], score) for item, score in pairs)
        written = sum(len(index.spellings.tokens[item]) for item in result.items)
        answers.append(Answer(found, result.certified, index.version, length, written))
    return answers
