"""All rows that a model learns from: those of the recipe's own prompt, and of further tasks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType

import numpy as np
from rich.console import Console

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset
from rec_gen.errors import ConfigError
from rec_gen.lint import check_answer
from rec_gen.mentions import split_mentions
from rec_gen.prompting import PromptRenderer
from rec_gen.rating_pairs import draw, target_places, training_pairs
from rec_gen.reasons import Reasons
from rec_gen.slots import Known
from rec_gen.spelling import Spellings, spell_titles
from rec_gen.tasks import CONVERSATION, FIRST, MAIN, REPLY
from rec_gen.templates import Template
from training.augmentation import crop
from training.examples import Row, answered, every_item, last_item
from training.processes import is_main
from training.recipe import Recipe, TaskConfig
from training.requests import Requests


@dataclass(frozen=True)
class Source:
    """What the rows of one task are made of.

    Attributes:
        recipe: The run.
        config: The task's part of it.
        dataset: The data; only its training interactions are read.
        renderer: Makes prompts with the task's template.
        spellings: How items are written.
        rng: Draws the examples.
    """

    recipe: Recipe
    config: TaskConfig
    dataset: Dataset
    renderer: PromptRenderer
    spellings: Spellings
    rng: np.random.Generator


def task_templates(recipe: Recipe, main: Template) -> tuple[Template, ...]:
    """The templates of a recipe's further tasks.

    Raises:
        ConfigError: A task does not go with the recipe.
        PromptError: There is no such template, it is wrong, or its answers tell nothing.
    """
    if main.header["task"] not in FIRST:
        raise ConfigError(
            f"prompt.template: '{main.name}' is not for one of the tasks {', '.join(FIRST)}"
        )
    if main.header["task"] == CONVERSATION and recipe.train.loss != "last-item":
        raise ConfigError(
            f"prompt.template: '{main.name}' is learnt from its answer alone: set train.loss to "
            "last-item"
        )
    templates = tuple(Template.load(task.template) for task in recipe.tasks)
    names = [main.name]
    for number, (config, template) in enumerate(zip(recipe.tasks, templates, strict=True)):
        problem = _problem(recipe, config, template)
        if template.name in names:
            problem = f"another template is called '{template.name}' too; rename one"
        if problem:
            raise ConfigError(f"tasks.{number}.template '{config.template}': {problem}")
        if template.task.answer:
            check_answer(template)
        names.append(template.name)
    return templates


def identify_data(recipe: Recipe, dataset: Dataset) -> dict[str, str]:
    """What names the content of the data as far as a recipe reads it, ready for JSON."""
    identity = {"the data's content": dataset.fingerprint}
    if dataset.ratings is not None and any(task.liked_from is not None for task in recipe.tasks):
        identity["the data's ratings"] = sha256(dataset.ratings.tobytes()).hexdigest()
    return identity


def training_rows(recipe: Recipe, dataset: Dataset, bundle: Bundle) -> list[Row]:
    """The rows of the recipe's own prompt, followed by those of each further task.

    Raises:
        ConfigError: The data has nothing that a task could be learnt from.
        PromptError: A template cannot render an example, or not within the budget.
    """
    renderer = bundle.renderer()
    rows = next_items(recipe, dataset, renderer, bundle.spellings)
    if not rows:
        raise ConfigError(f"{dataset.name}: there is nothing to learn; give data.share more than 0")
    main = len(rows)
    for number, (config, template) in enumerate(zip(recipe.tasks, bundle.tasks, strict=True)):
        rng = np.random.default_rng([recipe.seed, number])
        source = Source(recipe, config, dataset, renderer.using(template), bundle.spellings, rng)
        for row in _ROWS[template.header["task"]](source, max(1, round(config.weight * main))):
            if recipe.train.recency:
                row.setdefault("weights", [1.0] * len(row["labels"]))
            rows.append(row)
    return rows


def _problem(recipe: Recipe, config: TaskConfig, template: Template) -> str | None:
    """What keeps a task out of a recipe."""
    task, scheme = template.header["task"], recipe.spelling.scheme
    if config.liked_from is not None and task != "rating":
        return "liked_from is for the task rating; leave it out"
    if scheme == "title" and task in ("item_from_title", "title_of_item"):
        return "items are spelled by title already; leave it out, or spell by semantic or item"
    if scheme == "title" and recipe.train.score == "catalog" and template.task.answer:
        return (
            'with train.score = "catalog" text is told from items by its tokens, which titles '
            "share; spell by semantic or item, or train by lm"
        )
    if recipe.train.item_dropout and "item" in template.inputs:
        return "train.item_dropout would blank the item that is asked about; set it to 0"
    return None


def next_items(
    recipe: Recipe, dataset: Dataset, renderer: PromptRenderer, spellings: Spellings
) -> list[Row]:
    """The rows by which the next item is learnt, by the recipe's loss."""
    if renderer.template.header["task"] == CONVERSATION:
        return list(last_item(dataset.sequences(), renderer, spellings))
    whole = list(dataset.sequences())
    sequences = [*whole, *crop(whole, recipe.train.crops, recipe.seed)]
    if recipe.train.loss == "last-item":
        return list(last_item(sequences, renderer, spellings))
    if recipe.privacy:  # a user's latest window alone, since a user may be one row
        windows = (every_item([sequence], renderer, spellings) for sequence in whole)
        return [row for each in windows if (row := next(each, None))]
    rows = list(every_item(sequences, renderer, spellings, recipe.train.recency))
    if recipe.train.recency:
        total = sum(sum(row["weights"]) for row in rows)
        count = sum(weight > 0 for row in rows for weight in row["weights"])
        for row in rows:
            row["weights"] = [weight * count / total for weight in row["weights"]]
    return rows


def _paraphrases(source: Source, count: int) -> Iterator[Row]:
    rows = next_items(source.recipe, source.dataset, source.renderer, source.spellings)
    for index in draw(len(rows), count, source.rng):
        yield rows[index]


def _items_from_titles(source: Source, count: int) -> Iterator[Row]:
    titles = spell_titles(source.dataset.catalog)
    for item in draw(len(titles), count, source.rng):
        prompt = source.renderer.render(text=titles[item])
        yield answered(prompt, source.spellings.tokens[item].tolist())


def _titles_of_items(source: Source, count: int) -> Iterator[Row]:
    titles = spell_titles(source.dataset.catalog)
    for item in draw(len(titles), count, source.rng):
        yield answered(source.renderer.render(item=item), source.renderer.answer(titles[item]))


def _searches(source: Source, count: int) -> Iterator[Row]:
    texts = source.dataset.catalog.texts(source.recipe.spelling.text)
    requests = Requests(texts, source.rng)
    for item in requests.items[draw(len(requests.items), count, source.rng)]:
        prompt = source.renderer.render(text=requests.draw(item))
        yield answered(prompt, source.spellings.tokens[item].tolist())


def _ratings(source: Source, count: int) -> Iterator[Row]:
    answers = {liked: source.renderer.answer(liked) for liked in (True, False)}
    for pair in training_pairs(source.dataset, source.config.liked_from, count, source.rng):
        yield answered(source.renderer.render(pair.history, item=pair.item), answers[pair.liked])


def _explanations(source: Source, count: int) -> Iterator[Row]:
    reasons, sequences = Reasons(source.dataset.catalog), list(source.dataset.sequences())
    places = target_places(sequences)
    made = 0
    while made < count:
        before = made
        for index in source.rng.permutation(len(places)):
            user, place = places[index]
            history, item = sequences[user].items[:place], int(sequences[user].items[place])
            if reasons.find(history, item) is None:
                continue
            prompt = source.renderer.render(history, item=item)
            # the sentence may name only an item that the prompt spells
            spelled = sorted({span.place for span in prompt.spans})
            reason = reasons.find(history[spelled], item)
            if reason is not None:
                yield answered(prompt, source.renderer.answer(reason))
                made += 1
                if made == count:
                    return
        if made == before:
            raise ConfigError(
                "tasks: no item shares anything with a history that its prompt spells"
            )


def _replies(source: Source, count: int) -> Iterator[Row]:
    """Replies that name an item which they recommend; the others are left out, and counted."""
    rows, said = [], 0
    for sequence in source.dataset.sequences():
        if not sequence.reply:
            continue
        said += 1
        pieces = list(split_mentions(sequence.reply, source.dataset.catalog, sequence.items))
        if set(pieces).isdisjoint(sequence.items[sequence.targets].tolist()):
            continue
        example = next(sequence.examples())
        prompt = source.renderer.render(example.history, known=Known(dialogue=example.dialogue))
        rows.append(answered(prompt, source.renderer.reply(pieces)))
    if not rows:
        raise ConfigError(
            f"tasks: none of {said} replies of training names an item that it recommends; give "
            "them in the column 'reply' of the table of users, or leave the task out"
        )
    if is_main():
        line = f"replies: {len(rows)} of {said} name an item that they recommend and are learnt"
        Console(stderr=True).print(line, highlight=False)
    for index in draw(len(rows), count, source.rng):
        yield rows[index]


_ROWS: Mapping[str, Callable[[Source, int], Iterator[Row]]] = MappingProxyType(
    {
        MAIN: _paraphrases,
        CONVERSATION: _paraphrases,
        "item_from_title": _items_from_titles,
        "title_of_item": _titles_of_items,
        "search": _searches,
        "rating": _ratings,
        "explanation": _explanations,
        REPLY: _replies,
    }
)
