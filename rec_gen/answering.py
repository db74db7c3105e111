"""Answers to questions about items that were shown: from fields, and by true reasons."""

from collections.abc import Sequence

from rec_gen.bundle import Bundle
from rec_gen.decoding.runtime import Runtime
from rec_gen.errors import BundleError, GroundingError
from rec_gen.explaining import explain
from rec_gen.grounding import check_explanation
from rec_gen.index import Index
from rec_gen.listener import Listener
from rec_gen.questions import Question, compare
from rec_gen.replying import Draft
from rec_gen.understanding import Request

NO_REASON = "It shares nothing with your history that few others have."
BATCH = 32


def answer_question(
    runtime: Runtime,
    bundle: Bundle,
    index: Index,
    listener: Listener,
    request: Request,
    question: Question,
) -> Draft:
    """Compare items, or say why they fit what the user chose.

    The user chose the items of the history and those that were named in the dialogue by title and
    not refused. Why is said by the model where it learnt to explain, else by the rarest thing that
    is shared. What fails the check of `rec_gen.grounding` is not said.

    Raises:
        PromptError: The template of explanations cannot render a question.
    """
    places = index.positions(question.items)
    items = [index.catalog[place] for place in places]
    if question.kind == "compare":
        return compare(listener, items, question.word)
    if not items:
        return Draft("Nothing was recommended yet.")
    named = index.positions(request.heard.chosen)
    history = [*request.history, *(place for place in named if place not in request.refused)]
    chosen = [index.catalog[place] for place in history]
    draft = Draft()
    sentences = _sentences(runtime, bundle, index, history, places)
    for item, sentence in zip(items, sentences, strict=True):
        try:
            check_explanation(listener.lexicon, sentence or "", item, chosen)
        except GroundingError:
            sentence = None
        draft.say(" " if draft.text else "").name(item).say(f": {sentence or NO_REASON}")
    return draft


def _sentences(
    runtime: Runtime, bundle: Bundle, index: Index, history: list[int], places: Sequence[int]
) -> list[str | None]:
    """Why each item fits; None where it shares nothing."""
    try:
        template = bundle.task_template("explanation")
    except BundleError:
        found = [index.reasons.find(history, place) for place in places]
        return [
            None if one is None else f"It shares {one.value} ({one.field}) with {one.title}."
            for one in found
        ]
    renderer = index.renderer.using(template)
    return explain(runtime, renderer, index.reasons, history, places, BATCH)
