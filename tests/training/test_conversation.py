from pathlib import Path

import pytest

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import ConfigError, PromptError
from tests.talk import ACTORS, talk_dataset, talk_recipe
from tests.toy import toy_dataset
from training.examples import IGNORED, last_item
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
