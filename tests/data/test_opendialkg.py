import json
from pathlib import Path

import polars as pl
import pytest

from rec_gen.data.dataset import Dataset, Split
from rec_gen.data.opendialkg import read_opendialkg
from tests.talk import ACTORS, FILMS, RESPONSE, talk_dataset, write_opendialkg


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return talk_dataset(tmp_path)


def titles(dataset: Dataset, places: list[int]) -> list[str]:
    return [dataset.catalog.titles[place].removesuffix(" (1999)") for place in places]


def test_a_turn_tells_what_was_said_and_named_before_it(dataset: Dataset) -> None:
    examples = {example.user: example for example in dataset.examples(Split.TEST)}
    example = examples["2-3"]
    assert example.dialogue is not None
    (film,) = titles(dataset, [example.target])
    actor = ACTORS[2]
    assert film in FILMS[actor]
    assert example.dialogue.utterances == (
        f"Film 2, with {actor}?", f"{film} is one.", "Who is in it?"
    )  # fmt: skip
    assert example.dialogue.entities == (actor, film)
    assert titles(dataset, example.history.tolist()) == [film]


def test_what_one_turn_recommends_is_no_history_of_the_rest(dataset: Dataset) -> None:
    both = [example for example in dataset.examples(Split.TEST) if example.user == "0-1"]
    assert titles(dataset, [example.target for example in both]) == FILMS[ACTORS[0]][:2]
    assert [example.history.tolist() for example in both] == [[], []]


def test_no_input_holds_what_the_turn_itself_says(dataset: Dataset) -> None:
    for split in (Split.TRAIN, Split.VALID, Split.TEST):
        for example in dataset.examples(split):
            assert example.dialogue is not None
            said = json.dumps([example.dialogue.utterances, example.dialogue.entities])
            assert RESPONSE not in said
            # a label is in the input only where it was named before
            (film,) = titles(dataset, [example.target])
            assert (film in said) == (example.target in example.history)


def test_training_sequences_have_their_dialogues(dataset: Dataset) -> None:
    for sequence in dataset.sequences():
        assert sequence.dialogue == dataset.dialogue(sequence.user)
        assert sequence.first(1).dialogue == sequence.dialogue


def test_training_alone_knows_replies(dataset: Dataset) -> None:
    for sequence in dataset.sequences():
        films = titles(dataset, sequence.items[sequence.targets].tolist())
        assert sequence.reply == f"{RESPONSE}: {', '.join(films)}"
        assert sequence.first(1).reply is None
        assert dataset.past(sequence.user).reply is None


def test_a_reply_beside_held_out_interactions_is_not_known(dataset: Dataset) -> None:
    place = pl.int_range(pl.len()).over("user")
    held = pl.when((pl.col("user") == "4-1") & (place == 1)).then(pl.lit(Split.VALID))
    longer = pl.concat([dataset.frame, dataset.frame.filter(pl.col("user") == "4-1")])
    frame = longer.sort("user", maintain_order=True).with_columns(
        held.otherwise("split").cast(dataset.frame.schema["split"]).alias("split")
    )
    other = Dataset(dataset.catalog, frame, dataset.manifest, dataset.user_frame)
    told = {sequence.user: sequence.reply for sequence in other.sequences()}
    assert told.pop("4-1") is None
    assert None not in told.values()


def test_dialogues_are_kept_and_belong_to_the_content(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    dataset.save(folder)
    again = Dataset.load(folder)
    assert again.dialogue("2-3") == dataset.dialogue("2-3")
    file = write_opendialkg(tmp_path / "other") / "test.jsonl"
    file.write_text(file.read_text().replace("Who is in it?", "Who made it?"))
    assert dataset.user_frame is not None
    other = Dataset(dataset.catalog, dataset.frame, dataset.manifest, None)
    assert other.fingerprint != dataset.fingerprint
    read = read_opendialkg(file.parent).users
    assert read is not None
    changed = dataset.user_frame.select("user").join(read, on="user", maintain_order="left")
    other = Dataset(dataset.catalog, dataset.frame, dataset.manifest, changed)
    assert other.fingerprint != dataset.fingerprint
