import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError, PromptError
from rec_gen.templates import Template
from tests.toy import EVERY_TASK, ITEMS, rated, toy_dataset, toy_recipe
from training.examples import IGNORED, Row, every_item
from training.mixture import task_templates, training_rows
from training.ranking import validation_examples
from training.recipe import Recipe
from training.run_folder import RUN
from training.setup import prepare_materials
from training.sft import sft_trainer, train, untrained_bundle

TASKS = [task["template"] for task in EVERY_TASK]
PROMPT = {"max_tokens": 400}


def bundle_of(recipe: Recipe, dataset: Dataset) -> Bundle:
    main = Template.load(recipe.prompt.template)
    tasks = task_templates(recipe, main)
    materials = prepare_materials(recipe, dataset, main, tasks)
    return untrained_bundle(recipe, dataset, main, materials, tasks)


def rows_of(dataset: Dataset, **changes: Any) -> tuple[Bundle, list[Row], dict[str, list[Row]]]:
    """The rows of the main prompt and of each task."""
    recipe = toy_recipe(**{"prompt": PROMPT, "tasks": EVERY_TASK, **changes})
    bundle = bundle_of(recipe, dataset)
    rows = training_rows(recipe, dataset, bundle)
    at = len(list(every_item(dataset.sequences(), bundle.renderer(), bundle.spellings)))
    main, parts, sizes = rows[:at], {}, [round(task.weight * at) for task in recipe.tasks]
    for task, size in zip(recipe.tasks, sizes, strict=True):
        parts[task.template] = rows[at : at + size]
        at += size
    assert at == len(rows)
    return bundle, main, parts


@pytest.fixture(scope="module")
def mixed() -> tuple[Bundle, list[Row], dict[str, list[Row]]]:
    return rows_of(rated(toy_dataset()))


def answers(bundle: Bundle, rows: list[Row]) -> Iterator[tuple[str, str]]:
    """The prompt and the answer of each row, whose labels must be its last tokens."""
    for row in rows:
        answer = [label for label in row["labels"] if label != IGNORED]
        assert row["input_ids"][-len(answer) :] == row["labels"][-len(answer) :] == answer
        assert len(row["input_ids"]) == len(row["labels"])
        prompt = bundle.tokenizer.decode(row["input_ids"][: -len(answer)])
        yield prompt, bundle.tokenizer.decode(answer)


def test_without_tasks_the_rows_and_the_run_stay_as_they_were(tmp_path: Path) -> None:
    recipe, dataset = toy_recipe(), toy_dataset()
    bundle = bundle_of(recipe, dataset)
    before = list(every_item(dataset.sequences(), bundle.renderer(), bundle.spellings))
    assert training_rows(recipe, dataset, bundle) == before
    train(recipe, dataset, tmp_path)
    identity = json.loads((tmp_path / RUN).read_text())
    assert not [key for key in identity if "task" in key or "rating" in key]


def test_the_main_rows_come_first_and_weights_count_the_others(
    mixed: tuple[Bundle, list[Row], dict[str, list[Row]]],
) -> None:
    bundle, main, parts = mixed
    dataset = rated(toy_dataset())
    assert main == list(every_item(dataset.sequences(), bundle.renderer(), bundle.spellings))
    assert {name: len(rows) for name, rows in parts.items()} == {
        "next_item": 12, "item_from_title": 24, "title_of_item": 24, "search": 24, "rating": 48,
        "explanation": 24,
    }  # fmt: skip


def test_items_are_answered_by_their_exact_spelling(
    mixed: tuple[Bundle, list[Row], dict[str, list[Row]]],
) -> None:
    bundle, _, parts = mixed
    titles = bundle.catalog.titles
    for prompt, answer in answers(bundle, parts["item_from_title"]):
        item = bundle.spellings.texts.index(answer)
        assert f'"{titles[item]}"' in prompt
    # each item once before any twice
    drawn = [row["labels"][-1] for row in parts["item_from_title"]]
    assert sorted(drawn[:ITEMS]) == sorted(drawn[ITEMS:]) == sorted(set(drawn))
    for prompt, answer in answers(bundle, parts["search"]):
        item = bundle.spellings.texts.index(answer)
        words = prompt.partition("request: ")[2].split()
        assert words
        assert set(words) <= set(titles[item].lower().split())


def test_titles_and_sentences_are_text_with_an_end(
    mixed: tuple[Bundle, list[Row], dict[str, list[Row]]],
) -> None:
    bundle, _, parts = mixed
    titles, spelled = bundle.catalog.titles, bundle.spellings.texts
    end = bundle.tokenizer.eos_token
    for prompt, answer in answers(bundle, parts["title_of_item"]):
        (item,) = [item for item in range(ITEMS) if spelled[item] in prompt]
        assert answer == titles[item] + end
    brands = bundle.catalog.frame["brand"].to_list()
    for prompt, answer in answers(bundle, parts["explanation"]):
        history, _, asked = prompt.partition("Why does this item fit?")
        (item,) = [item for item in range(ITEMS) if spelled[item] in asked]
        (other,) = [place for place in range(ITEMS) if answer.endswith(f"{titles[place]}.{end}")]
        assert spelled[other] in history
        assert brands[item] == brands[other]
        assert answer == f"It shares {brands[item]} (brand) with {titles[other]}.{end}"


def test_half_of_the_ratings_are_yes_and_all_are_true(
    mixed: tuple[Bundle, list[Row], dict[str, list[Row]]],
) -> None:
    bundle, _, parts = mixed
    said = []
    for prompt, answer in answers(bundle, parts["rating"]):
        asked = prompt.partition("Would they like this item?")[2].strip()
        said.append(answer == "yes" + bundle.tokenizer.eos_token)
        assert said[-1] == (bundle.spellings.texts.index(asked) % 3 != 0)
    assert sum(said) == len(said) // 2


def test_without_ratings_yes_is_what_was_chosen_next() -> None:
    tasks = [{"template": "rating", "weight": 3.0}]
    bundle, main, parts = rows_of(toy_dataset(), tasks=tasks)
    chosen = {
        "".join(bundle.spellings.texts[item] for item in sequence.items): sequence
        for sequence in toy_dataset().sequences()
    }
    said = []
    for prompt, answer in answers(bundle, parts["rating"]):
        history, _, asked = prompt.partition("Would they like this item?")
        shown = history.rpartition("\n\n")[2].strip()
        following = [
            whole[len(shown) :].startswith(asked.strip())
            for whole in chosen
            if whole.startswith(shown)
        ]
        said.append(answer == "yes" + bundle.tokenizer.eos_token)
        # a no was never chosen by a user with this history
        assert any(following) if said[-1] else not all(following)
    assert sum(said) == len(said) // 2 == 3 * len(main) // 2


def test_the_seed_decides_the_draw(mixed: tuple[Bundle, list[Row], dict[str, list[Row]]]) -> None:
    dataset = rated(toy_dataset())
    assert rows_of(dataset)[2] == mixed[2]
    others = rows_of(dataset, seed=1)[2]
    assert all(others[task] != mixed[2][task] for task in TASKS)


@settings(max_examples=15)
@given(st.data())
def test_no_row_knows_of_held_out_interactions(data: st.DataObject) -> None:
    """Whatever was chosen and rated in validation and test, the rows stay the same."""
    explicit = data.draw(st.booleans())
    dataset = rated(toy_dataset(users=6))
    tasks = [task for task in EVERY_TASK if explicit or task["template"] != "rating"]
    tasks += [] if explicit else [{"template": "rating"}]
    held = pl.col("split").is_in([Split.VALID, Split.TEST])
    size = len(dataset.frame)
    items = data.draw(st.lists(st.integers(0, ITEMS - 1), min_size=size, max_size=size))
    other = dataset.frame.with_columns(
        pl.when(held).then(pl.Series(items, dtype=pl.UInt32)).otherwise("item").alias("item"),
        pl.when(held).then(1.0).otherwise("rating").cast(pl.Float32).alias("rating"),
    )
    recipe = toy_recipe(prompt=PROMPT, tasks=tasks)
    bundle = bundle_of(recipe, dataset)
    rows = training_rows(recipe, dataset, bundle)
    assert rows == training_rows(recipe, Dataset(dataset.catalog, other, {"name": "other"}), bundle)


TITLES = {"scheme": "title"}


@pytest.mark.parametrize(
    ("tasks", "changes", "message"),
    [
        (["item_from_title"], {"spelling": TITLES}, "spelled by title already"),
        (["title_of_item"], {"spelling": TITLES}, "spelled by title already"),
        (["rating"], {"spelling": TITLES, "train": {"score": "catalog"}}, "told from items"),
        (["rating"], {"train": {"item_dropout": 0.1}}, "item_dropout would blank"),
        (["search", "search"], {}, r"tasks\.1\.template 'search': another template"),
        (["sequence"], {}, "another template is called 'sequence'"),
        ([{"template": "search", "liked_from": 4.0}], {}, "liked_from is for the task rating"),
        ([{"template": "search", "weight": 0.0}], {}, r"key 'tasks\.0\.weight'"),
        ([{"template": "rating", "liked_from": 4.0}], {}, "the data has no ratings"),
        (["explanation"], {}, "no item shares anything with a history"),
        (
            [],
            {"prompt": {"template": "rating"}},
            "'rating' is not for one of the tasks next_item, conversation",
        ),
    ],
)
def test_refuses_tasks_that_cannot_be(
    tasks: list[Any], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tables = [{"template": task} if isinstance(task, str) else task for task in tasks]
    with pytest.raises(ConfigError, match=message):
        train(toy_recipe(**{"prompt": PROMPT, "tasks": tables, **changes}), toy_dataset(), tmp_path)


@pytest.mark.parametrize("liked_from", [1.0, 6.0])
def test_refuses_ratings_that_are_all_the_same(liked_from: float, tmp_path: Path) -> None:
    tasks = [{"template": "rating", "liked_from": liked_from}]
    with pytest.raises(ConfigError, match="validation answers are"):
        train(toy_recipe(prompt=PROMPT, tasks=tasks), rated(toy_dataset()), tmp_path)


def test_refuses_a_text_longer_than_a_prompt() -> None:
    tasks = [{"template": "item_from_title"}]
    with pytest.raises(PromptError, match=r"for the text 'Film .*: raise prompt\.max_tokens"):
        rows_of(rated(toy_dataset()), prompt={"max_tokens": 12}, tasks=tasks)


def test_late_items_weigh_more_and_answers_alike() -> None:
    train = {"score": "catalog", "recency": 2.0}
    _, main, parts = rows_of(rated(toy_dataset()), train=train)
    for row in [*main, *(row for rows in parts.values() for row in rows)]:
        assert len(row["weights"]) == len(row["labels"])
    weights = [weight for row in parts.pop("next_item") for weight in row["weights"]]
    assert max(weights) > 1
    assert len({*weights}) > 2
    assert all({*row["weights"]} == {1.0} for rows in parts.values() for row in rows)


def test_each_task_draws_with_its_own_generator(
    mixed: tuple[Bundle, list[Row], dict[str, list[Row]]],
) -> None:
    bundle, _, parts = mixed
    texts, titles = bundle.spellings.texts, bundle.catalog.titles
    named = [texts.index(answer) for _, answer in answers(bundle, parts["item_from_title"])]
    end = bundle.tokenizer.eos_token
    asked = [titles.index(a.removesuffix(end)) for _, a in answers(bundle, parts["title_of_item"])]
    assert sorted(named) == sorted(asked)
    assert named != asked


SHORT = """{#
task: explanation
version: 1
inputs: history, item
answer: It shares {{ reason.value }} with {{ reason.title }}.
#}
%s Why {{ item.spelling }}?
"""
LATEST = "{% for chosen in history[-2:] | reverse %}{{ chosen.spelling }}{% endfor %}"


@pytest.mark.parametrize(
    ("listing", "max_history"), [(LATEST, 9), (LATEST.replace("[-2:]", ""), 2)]
)
def test_an_explanation_names_only_what_its_prompt_spells(
    listing: str, max_history: int, tmp_path: Path
) -> None:
    template = tmp_path / "short.jinja"
    template.write_text(SHORT % listing)
    wander = np.random.default_rng(0).integers(ITEMS, size=len(toy_dataset().frame))
    frame = toy_dataset().frame.with_columns(pl.Series("item", wander, dtype=pl.UInt32))
    dataset = rated(Dataset(toy_dataset().catalog, frame, {"name": "wander"}))
    bundle, _, parts = rows_of(
        dataset,
        prompt={**PROMPT, "max_history": max_history},
        tasks=[{"template": str(template)}],
    )
    titles, spelled = bundle.catalog.titles, bundle.spellings.texts
    for prompt, answer in answers(bundle, parts[str(template)]):
        (other,) = [place for place in range(ITEMS) if f"{titles[place]}." in answer]
        assert spelled[other] in prompt.partition("Why")[0]


def test_an_explanation_of_nothing_that_is_spelled_is_refused(tmp_path: Path) -> None:
    template = tmp_path / "short.jinja"
    template.write_text(SHORT % LATEST)
    with pytest.raises(ConfigError, match="shares anything with a history that its prompt spells"):
        rows_of(rated(toy_dataset()), tasks=[{"template": str(template)}])


def test_refuses_answers_that_tell_nothing(tmp_path: Path) -> None:
    template = tmp_path / "same.jinja"
    template.write_text(Template.load("rating").text.replace('else "no"', 'else "yes"'))
    recipe = toy_recipe(prompt=PROMPT, tasks=[{"template": str(template)}])
    with pytest.raises(PromptError, match="'same': its answers are empty or all the same"):
        train(recipe, toy_dataset(), tmp_path / "run")


def test_text_answers_are_learnt_over_the_whole_vocabulary(tmp_path: Path) -> None:
    dataset = rated(toy_dataset())
    recipe = toy_recipe(prompt=PROMPT, tasks=EVERY_TASK, train={"score": "catalog"})
    bundle = bundle_of(recipe, dataset)
    held = validation_examples(dataset, recipe.validation, recipe.seed)
    trainer = sft_trainer(recipe, dataset, bundle, tmp_path, held, [])
    _, _, parts = rows_of(dataset, train={"score": "catalog"})
    for task in ("title_of_item", "rating", "explanation"):
        batch = trainer.data_collator(parts[task])
        with torch.no_grad():
            loss = trainer.compute_loss(bundle.model, {**batch})
            labels = batch.pop("labels")
            logits = bundle.model(**batch).logits
        expected = torch.nn.functional.cross_entropy(logits[:, :-1].mT, labels[:, 1:])
        torch.testing.assert_close(loss, expected)
