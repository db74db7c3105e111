import numpy as np
import pytest

from rec_gen.data.dataset import Example, Sequence
from rec_gen.errors import PromptError
from rec_gen.prompting import PromptConfig, PromptRenderer
from rec_gen.spelling import Spellings, spell_items, tokenize_new
from rec_gen.templates import Template
from rec_gen.testing import tiny_tokenizer
from tests.toy import toy_dataset
from training.examples import IGNORED, every_item, held_out, last_item

CATALOG = toy_dataset().catalog


def materials(
    template: str = "sequence", max_history: int = 50
) -> tuple[PromptRenderer, Spellings]:
    tokenizer = tiny_tokenizer()
    spelled = tokenize_new("item", [[name] for name in spell_items(CATALOG)], tokenizer)
    config = PromptConfig(max_history=max_history, max_tokens=1000)
    header = "{#\ntask: next_item\nversion: 1\ninputs: history\n#}\n."
    own = "{" in template
    loaded = Template.parse("own", header + template) if own else Template.load(template)
    return PromptRenderer(loaded, CATALOG, spelled, tokenizer, config), spelled


def sequence(*items: int, targets: list[bool] | None = None) -> Sequence:
    flags = np.ones(len(items), bool) if targets is None else np.array(targets)
    ages = np.linspace(1, 0, len(items), dtype=np.float32)
    return Sequence("u", np.array(items, np.int32), flags, ages)


def tokens(spelled: Spellings, *items: int) -> list[int]:
    return [int(spelled.tokens[item][0]) for item in items]


def test_every_item_of_one_rendering_carries_a_label() -> None:
    renderer, spelled = materials()
    rows = list(every_item([sequence(3, 1, 4)], renderer, spelled))
    start = renderer.render([]).ids
    assert rows == [
        {
            "input_ids": start + tokens(spelled, 3, 1, 4),
            "labels": [IGNORED, *tokens(spelled, 3, 1, 4)],
        }
    ]


def test_a_profile_would_tell_of_what_is_to_be_learnt() -> None:
    renderer, spelled = materials()
    header = "{#\ntask: next_item\nversion: 1\ninputs: history, profile\n#}\n"
    text = "{{ profile.item }}{% for item in history %}{{ item.spelling }}{% endfor %}"
    profiled = renderer.using(Template.parse("mine", header + text))
    with pytest.raises(PromptError, match="'mine': the profile counts"):
        list(every_item([sequence(3, 1, 4)], profiled, spelled))


def test_late_items_weigh_more() -> None:
    renderer, spelled = materials()
    (row,) = every_item([sequence(3, 1, 4)], renderer, spelled, recency=2.0)
    assert row["weights"] == pytest.approx([0, np.exp(-2), np.exp(-1), 1])


def test_words_of_the_template_carry_no_label() -> None:
    renderer, spelled = materials("next_item")
    (row,) = every_item([sequence(3, 1, 4)], renderer, spelled)
    labelled = [label for label in row["labels"] if label != IGNORED]
    assert labelled == tokens(spelled, 3, 1, 4)
    assert len(row["input_ids"]) == len(row["labels"]) > 10
    assert all(
        label in (IGNORED, token)
        for label, token in zip(row["labels"], row["input_ids"], strict=True)
    )


def test_context_is_read_and_not_learnt() -> None:
    renderer, spelled = materials()
    (row,) = every_item([sequence(3, 1, 4, targets=[False, True, True])], renderer, spelled)
    assert row["input_ids"][1:] == tokens(spelled, 3, 1, 4)
    assert row["labels"][1:] == [IGNORED, *tokens(spelled, 1, 4)]
    assert not list(every_item([sequence(3, targets=[False])], renderer, spelled))


def test_last_item_makes_one_example_of_each() -> None:
    renderer, spelled = materials()
    rows = list(last_item([sequence(3, 1, 4)], renderer, spelled))
    assert [row["labels"] for row in rows] == [
        [IGNORED, *tokens(spelled, 3)],
        [IGNORED, IGNORED, *tokens(spelled, 1)],
        [IGNORED, IGNORED, IGNORED, *tokens(spelled, 4)],
    ]


@pytest.mark.parametrize("length", range(1, 25))
@pytest.mark.parametrize("max_history", [1, 2, 5, 50])
def test_windows_teach_every_item_with_a_history(length: int, max_history: int) -> None:
    """Each window ends where labels end, so count how much history each item is learnt with."""
    renderer, spelled = materials(max_history=max_history)
    items = [place % 12 for place in range(length)]
    first = {token: place for place, token in enumerate(tokens(spelled, *items[:12]))}
    best = np.full(length, -1)
    stop = length
    for row in every_item([sequence(*items)], renderer, spelled):
        shown = len(row["input_ids"]) - 1
        assert row["labels"][-1] == tokens(spelled, items[stop - 1])[0]
        assert first[row["input_ids"][1]] == (stop - shown) % 12
        for place in range(stop - shown, stop):
            best[place] = max(best[place], place - (stop - shown))
        stop -= (shown + 1) // 2
    wanted = [min(place, (max_history + 1) // 2) for place in range(length)]
    assert (best >= wanted).all()


def test_held_out_examples_teach_only_the_answer() -> None:
    renderer, spelled = materials()
    example = Example("u", np.array([1, 2], np.int32), 5)
    (row,) = held_out([example], renderer, spelled)
    assert row["labels"] == [IGNORED] * 3 + tokens(spelled, 5)


@pytest.mark.parametrize(
    "loop",
    [
        "{% for item in history | reverse %}{{ item.spelling }}{% endfor %}",
        "{{ history[-1].spelling }}: {% for item in history %}{{ item.spelling }}{% endfor %}",
        "{% for item in history[:2] %}{{ item.spelling }}{% endfor %}",
        "{% for item in history %}{{ item.title }}{% endfor %}",
    ],
)
def test_refuses_to_teach_an_item_from_what_came_after_it(loop: str) -> None:
    renderer, spelled = materials(loop)
    with pytest.raises(PromptError, match="spells the latest items once each"):
        list(every_item([sequence(1, 2, 3, 4, 5)], renderer, spelled))


def test_a_template_that_shows_fewer_items_still_teaches_all() -> None:
    renderer, spelled = materials("{% for item in history[-3:] %}{{ item.spelling }}{% endfor %}")
    taught = set()
    for row in every_item([sequence(*range(12))], renderer, spelled):
        taught |= set(row["labels"])
    assert taught - {IGNORED} == set(tokens(spelled, *range(12)))
