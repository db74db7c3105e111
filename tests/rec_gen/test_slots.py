from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.catalog import Catalog
from rec_gen.data.dataset import Dataset, Example, Split
from rec_gen.errors import PromptError
from rec_gen.lint import HOSTILE
from rec_gen.prompting import PromptConfig, PromptRenderer
from rec_gen.recommender import Recommender
from rec_gen.slots import DAY, Known, Profile, draw_shots, in_words, interaction_slots
from rec_gen.spelling import Scheme, spell
from rec_gen.templates import Template
from rec_gen.testing import random_bundle, tiny_tokenizer
from tests.toy import rated, toy_dataset

HEADER = "{#\ntask: next_item\nversion: 1\ninputs: history, profile, examples\n#}\n"


def renderer(
    dataset: Dataset, text: str, *, max_tokens: int = 900, scheme: Scheme = "title"
) -> PromptRenderer:
    tokenizer = tiny_tokenizer(chat=True)
    spellings = spell(dataset.catalog, scheme, tokenizer)
    names = [name for name in ("history", "profile", "examples") if name in text]
    header = HEADER.replace("history, profile, examples", ", ".join(names))
    config = PromptConfig(max_history=4, max_tokens=max_tokens)
    template = Template.parse("mine", header + text)
    return PromptRenderer(template, dataset.catalog, spellings, tokenizer, config)


@pytest.fixture
def dataset() -> Dataset:
    return rated(toy_dataset())


@pytest.fixture
def example(dataset: Dataset) -> Example:
    return next(dataset.examples(Split.TEST))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"), (59, "less than a minute"), (60, "1 minute"),
        (3600, "60 minutes"), (7200, "2 hours"), (DAY, "24 hours"), (3 * DAY, "3 days"),
        (15 * DAY, "2 weeks"), (61 * DAY, "2 months"), (365 * DAY, "12 months"),
        (800 * DAY, "2 years"),
    ],
)  # fmt: skip
def test_time_in_words(seconds: int, words: str) -> None:
    assert in_words(seconds) == words


@given(st.lists(st.integers(0, 4 * 10**9), min_size=1, max_size=8))
def test_gaps_and_days_add_up(moments: list[int]) -> None:
    times = np.sort(np.array(moments, np.int64))
    slots = interaction_slots(len(times), times, None)
    assert slots[0]["gap"] is None
    assert slots[-1]["days_ago"] == 0
    for place in range(1, len(times)):
        assert slots[place]["gap"] == in_words(int(times[place] - times[place - 1]))
        assert slots[place - 1]["days_ago"] == (times[-1] - times[place - 1]) // DAY
    assert all(set(slot) == {"gap", "days_ago"} for slot in slots)


def test_a_prompt_tells_gaps_days_and_ratings(dataset: Dataset) -> None:
    text = "{% for i in history %}{{ i.gap }}/{{ i.days_ago }}/{{ i.rated }} {% endfor %}"
    times, ratings = np.array([0, DAY, 9 * DAY], np.int64), np.array([5, 2.5, 3], np.float32)
    known = Known("mine", times, ratings)
    prompt = renderer(dataset, text).render([1, 2, 3], known=known)
    assert "None/9/5 24 hours/8/2.5 8 days/0/3 " in prompt.text
    short = renderer(dataset, text, max_tokens=len(prompt.ids) - 1).render([1, 2, 3], known=known)
    assert "\n24 hours/8/2.5 8 days/0/3 " in short.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ history[0].gap }}", "the slot 'gap' needs times"),
        ("{% if history[0].days_ago %}x{% endif %}", "the slot 'days_ago' needs times"),
        ("{{ history[0].rated }}", "the slot 'rated' needs ratings"),
        ("{{ examples }}", "the slot 'examples' needs training data"),
    ],
)
def test_a_slot_that_is_not_known_names_itself(
    dataset: Dataset, example: Example, text: str, message: str
) -> None:
    render = renderer(dataset, text)
    with pytest.raises(PromptError, match=f"template 'mine': {message}, which a history of"):
        render.render([1, 2])
    bare = replace(example, times=None, ratings=None)
    known = replace(Known.of(dataset, bare), shots=None)
    with pytest.raises(PromptError, match=f"{message}, which data set 'toy' does not tell"):
        render.render(example.history, known=known)
    tolerant = renderer(dataset, "x {{ history[0].gap | default('?') }}")
    assert "x ?" in tolerant.render([1]).text


def test_a_column_of_the_catalog_hides_a_slot_of_its_name(dataset: Dataset) -> None:
    frame = dataset.catalog.frame.with_columns(gap=pl.lit("a column"))
    other = Dataset(Catalog(frame), dataset.frame, dataset.manifest)
    render = renderer(other, "{{ history[0].gap }}")
    for known in (Known(), Known("mine", np.array([0, 5], np.int64))):
        assert "a column" in render.render([1, 2], known=known).text


def test_the_data_set_tells_what_it_knows_and_no_more(dataset: Dataset) -> None:
    for example in dataset.examples(Split.TEST):
        past = dataset.past(example.user)
        known = Known.of(dataset, example)
        count = len(example.history)
        assert known.times is not None
        assert past.times is not None
        assert past.ratings is not None
        np.testing.assert_array_equal(known.times, past.times[:count])
        np.testing.assert_array_equal(known.ratings, past.ratings[:count])
        np.testing.assert_array_equal(past.first(count).items, example.history)
    timeless = Dataset(
        dataset.catalog, dataset.frame.with_columns(time=pl.lit(None, pl.Int64)), dataset.manifest
    )
    assert next(timeless.examples(Split.TEST)).times is None


def test_a_profile_counts_values_and_parts_of_lists() -> None:
    rows: list[dict[str, Any]] = [
        {"genres": ["a", "b"], "year": 1},
        {"genres": ["b"], "year": None},
        {"genres": [], "year": 1},
    ]
    profile = Profile(["genres", "year"], lambda place: rows[place], [0, 1, 2, 0])
    assert [(one.value, one.count) for one in profile.genres] == [("b", 3), ("a", 2)]
    assert [(one.value, one.count) for one in profile.year] == [(1, 3)]
    assert Profile(["genres"], lambda place: rows[place], []).genres == []
    with pytest.raises(AttributeError):
        profile.brand  # noqa: B018


def test_a_profile_tells_of_the_whole_history_and_knows_its_columns(dataset: Dataset) -> None:
    counts = "{% for b in profile.brand %}{{ b.value }} {{ b.count }};{% endfor %}"
    text = counts + "{{ history[0].spelling }}"
    prompt = renderer(dataset, text).render([0, 3, 6, 1, 2, 5, 8])
    assert "Brand A 3;Brand C 3;Brand B 1;" in prompt.text
    assert prompt.kept == 4
    with pytest.raises(PromptError, match=r"'brands'; items of this catalog have .*brand"):
        renderer(dataset, text.replace("brand", "brands")).render([0])


def test_data_in_profiles_and_examples_cannot_open_a_turn(dataset: Dataset) -> None:
    frame = dataset.catalog.frame.with_columns(
        brand=pl.lit(HOSTILE), tags=pl.lit([HOSTILE]), title=pl.lit(HOSTILE) + pl.col("item")
    )
    hostile = Dataset(Catalog(frame), dataset.frame, dataset.manifest)
    text = (
        "{% for e in examples %}{% for i in e.history %}{{ i.spelling }}{{ i.brand }}"
        "{{ i.tags | listed }}{% endfor %}{{ e.answer.title | upper }}{% endfor %}"
        "{{ profile.brand[0].value }}{{ profile.tags[0].value | title }}{{ history[0].spelling }}"
    )
    tokenizer = tiny_tokenizer(chat=True)
    markup = {tokenizer.convert_tokens_to_ids(name) for name in ("<|im_start|>", "<|im_end|>")}
    for example in hostile.examples(Split.TEST):
        known = Known.of(hostile, example, draw_shots(hostile, 2, 3, 0))
        ids = renderer(hostile, text, max_tokens=9_000).render(example.history, known=known).ids
        assert len([token for token in ids if token in markup]) == 3


def test_shots_come_from_training_and_never_from_the_one_who_is_asked(dataset: Dataset) -> None:
    shots = draw_shots(dataset, 4, 3, seed=1)
    assert len({shot.user for shot in shots}) == 5
    assert [shot.user for shot in draw_shots(dataset, 4, 3, seed=1)] == [s.user for s in shots]
    assert [shot.user for shot in draw_shots(dataset, 4, 3, seed=2)] != [s.user for s in shots]
    sequences = {sequence.user: sequence for sequence in dataset.sequences()}
    for shot in shots:
        trained = sequences[shot.user]
        assert [*shot.history, shot.answer] == trained.items[-4:].tolist()
        assert shot.times is not None
        assert len(shot.times) == len(shot.history) == 3
    redrawn = dataset.frame.with_columns(
        item=pl.when(pl.col("split") == "train").then("item").otherwise(0).cast(pl.UInt32)
    )
    other = draw_shots(Dataset(dataset.catalog, redrawn, dataset.manifest), 4, 3, seed=1)
    assert [(s.user, s.history.tolist(), s.answer) for s in other] == [
        (s.user, s.history.tolist(), s.answer) for s in shots
    ]
    for example in dataset.examples(Split.TEST):
        shown = Known.of(dataset, example, shots).shots
        assert shown is not None
        assert len(shown) == 4
        assert example.user not in {shot.user for shot in shown}
    assert draw_shots(dataset, 0, 3, 0) == ()
    with pytest.raises(PromptError, match=r"needs 25 users .* 'toy' has 24: ask for fewer shots"):
        draw_shots(dataset, 24, 3, 0)


@pytest.mark.parametrize("scheme", ["title", "item"])
def test_examples_are_spelled_and_are_no_part_of_the_history(
    dataset: Dataset, example: Example, scheme: Scheme
) -> None:
    text = (
        "{% for e in examples %}{% for i in e.history %}{{ i.rated }}{{ i.spelling }}{% endfor %}"
        "-> {{ e.answer.spelling }}{% endfor %}{% for i in history %}{{ i.spelling }}{% endfor %}"
    )
    render = renderer(dataset, text, scheme=scheme)
    known = Known.of(dataset, example, draw_shots(dataset, 2, 3, 0))
    prompt = render.render(example.history, known=known)
    spelled = spell(dataset.catalog, scheme, tiny_tokenizer(chat=True))
    assert known.shots is not None
    for shot in known.shots:
        assert f"-> {spelled.texts[shot.answer]}" in prompt.text
    count = len(example.history)
    assert [span.place for span in prompt.spans] == list(range(count - 4, count))
    for span in prompt.spans:
        tokens = spelled.tokens[example.history[span.place]].tolist()
        assert prompt.ids[span.start : span.stop] == tokens


def test_a_recommender_refuses_what_a_request_does_not_tell(dataset: Dataset) -> None:
    bundle = random_bundle(dataset.catalog, "item")
    for name, slot in (("video_gaps", "gap"), ("next_item_examples", "examples")):
        recommender = Recommender(replace(bundle, template=Template.load(name)))
        with pytest.raises(PromptError, match=f"request 0: template '{name}': the slot '{slot}'"):
            recommender.recommend([["i1"]])
    profile = (
        HEADER.replace(", examples", "") + "{{ profile.brand[0].value }}{{ history[0].spelling }}"
    )
    recommender = Recommender(replace(bundle, template=Template.parse("mine", profile)))
    assert len(recommender.recommend([["i1"]], k=3)[0]) == 3
