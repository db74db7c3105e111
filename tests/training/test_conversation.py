from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rec_gen.bundle import Bundle
from rec_gen.config import parse_config
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError, PromptError
from rec_gen.slots import Known
from tests.talk import ACTORS, talk_dataset, talk_recipe
from tests.toy import SCRATCH, toy_dataset
from training.compress import compress
from training.compress_config import CompressConfig
from training.examples import IGNORED, last_item
from training.grpo import ItemRollout
from training.negatives import preferences
from training.ranking import rank_examples
from training.sft import train


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return talk_dataset(tmp_path_factory.mktemp("talk"))


@pytest.fixture(scope="module")
def bundle(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    recipe = talk_recipe(
        train={"max_steps": 150, "learning_rate": 0.01}, validation={"every_steps": 50}
    )
    return Bundle.load(train(recipe, dataset, tmp_path_factory.mktemp("run")))


def test_a_model_learns_what_dialogues_come_to(bundle: Bundle, dataset: Dataset) -> None:
    examples = list(dataset.examples(Split.VALID))
    found = rank_examples(bundle, examples, 12, exclude_seen=False)
    assert found["ndcg@10"] > 0.6  # 0.45 by chance


def test_words_of_training_alone_make_the_vocabulary(bundle: Bundle) -> None:
    surname = f" {ACTORS[3].split()[1]}"
    assert len(bundle.tokenizer.tokenize(surname)) <= 2
    assert bundle.tokenizer.tokenize("FILM") == bundle.tokenizer.tokenize("film")


def test_only_the_answer_is_learnt_and_no_sibling_is_shown(
    bundle: Bundle, dataset: Dataset
) -> None:
    for row in last_item(dataset.sequences(), bundle.renderer(), bundle.spellings):
        labels = [label for label in row["labels"] if label != IGNORED]
        assert len(labels) == 1 == row["labels"].index(labels[0]) - len(row["labels"]) + 2


def test_every_item_of_a_dialogue_cannot_be_learnt(dataset: Dataset, tmp_path: Path) -> None:
    recipe = talk_recipe(train={"loss": "every-item"})
    with pytest.raises(ConfigError, match="'conversation' is learnt from its answer alone"):
        train(recipe, dataset, tmp_path)


def test_data_without_dialogues_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="the slot 'dialogue' needs what was said"):
        train(talk_recipe(), toy_dataset(), tmp_path)


def test_what_goes_on_from_a_model_reads_its_dialogues(bundle: Bundle, dataset: Dataset) -> None:
    examples = [each for sequence in dataset.sequences() for each in sequence.examples()]
    (preference,) = preferences(bundle, examples[:1], 2, exclude_seen=False)
    assert len(preference.rejected) == 2
    known = Known(dialogue=examples[0].dialogue)
    assert preference.prompt == bundle.renderer().render(examples[0].history, known=known).ids
    trainer = SimpleNamespace(
        model=bundle.model, args=SimpleNamespace(seed=0), state=SimpleNamespace(global_step=0)
    )
    drawn: Any = ItemRollout(bundle, examples[:1], 2, exclude_seen=False)(["0"], trainer)
    assert drawn["prompt_ids"] == [preference.prompt] * 2


def test_a_model_of_dialogues_is_compressed(dataset: Dataset, tmp_path: Path) -> None:
    recipe = talk_recipe(
        model={"scratch": {**SCRATCH, "num_hidden_layers": 2}},
        train={"max_steps": 2},
        validation={"every_steps": 2},
    )
    bundle = Bundle.load(train(recipe, dataset, tmp_path / "run"))
    config = parse_config(CompressConfig, {"drop_layers": 1})
    compress(bundle, config, dataset, tmp_path / "small")
    (found,) = Bundle.load(tmp_path / "small" / "bundle").manifest.compressions
    assert len(found.dropped) == 1
