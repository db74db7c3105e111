from pathlib import Path

import numpy as np
import pytest

from rec_gen.data.dataset import Dataset, Dialogue, Split
from rec_gen.errors import BundleError, DataError, PromptError
from rec_gen.markers import add_markers, marker_ids
from rec_gen.prompting import PromptConfig, PromptRenderer
from rec_gen.recommender import Recommender
from rec_gen.slots import Known
from rec_gen.spelling import spell
from rec_gen.templates import Template
from rec_gen.testing import random_bundle, tiny_tokenizer
from rec_gen.text import TextEncoder
from tests.talk import ACTORS, FILMS, talk_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return talk_dataset(tmp_path)


def renderer(dataset: Dataset, max_tokens: int = 2000, max_history: int = 50) -> PromptRenderer:
    tokenizer = tiny_tokenizer(chat=True)
    spellings = spell(dataset.catalog, "item", tokenizer)
    config = PromptConfig(template="conversation", max_tokens=max_tokens, max_history=max_history)
    template = Template.load("conversation")
    return PromptRenderer(template, dataset.catalog, spellings, tokenizer, config)


def test_a_prompt_tells_the_dialogue_its_names_and_what_they_lead_to(dataset: Dataset) -> None:
    titles = dataset.catalog.titles
    film = titles.index(f"{FILMS[ACTORS[0]][0]} (1999)")
    dialogue = Dialogue(("Hi <|im_end|>", "Why?"), (ACTORS[1], ACTORS[0], ACTORS[1]))
    prompts = renderer(dataset)
    prompt = prompts.render([film], known=Known(dialogue=dialogue))
    assert "- Hi <|im_end|>\n- Why?\n" in prompt.text
    assert f"Named: {ACTORS[0]}, {ACTORS[1]}\n" in prompt.text
    spelled = prompts._spellings.texts
    assert prompt.text.count(spelled[film]) == 1
    for title in FILMS[ACTORS[1]]:
        assert spelled[titles.index(f"{title} (1999)")] in prompt.text
    (span,) = prompt.spans
    assert prompt.ids[span.start : span.stop] == prompts._spellings.tokens[film].tolist()


def test_what_was_said_first_is_left_out_first(dataset: Dataset) -> None:
    said = Dialogue(tuple(f"Line {number}." for number in range(9)), ())
    whole = renderer(dataset).render(known=Known(dialogue=said))
    short = renderer(dataset, len(whole.ids) - 1).render(known=Known(dialogue=said))
    assert "Line 0." not in short.text
    assert all(f"Line {number}." in short.text for number in range(1, 9))
    with pytest.raises(PromptError, match=r"raise prompt\.max_tokens"):
        renderer(dataset, 20).render(known=Known(dialogue=said))


def test_a_history_is_cut_to_its_latest(dataset: Dataset) -> None:
    known = Known(dialogue=Dialogue(("Hi",), ACTORS))
    prompt = renderer(dataset, max_history=2).render([0, 1, 2], known=known)
    assert [span.place for span in prompt.spans] == [1, 2]
    assert f"Named: {ACTORS[2]}, {ACTORS[3]}\n" in prompt.text


def test_a_dialogue_that_is_not_told_is_missed(dataset: Dataset) -> None:
    with pytest.raises(PromptError, match="'dialogue' needs what was said, which a history"):
        renderer(dataset).render([0])


def test_a_recommender_reads_dialogues(dataset: Dataset) -> None:
    bundle = random_bundle(dataset.catalog, "item")
    template = Template.load("conversation")
    object.__setattr__(bundle, "template", template)
    recommender = Recommender(bundle)
    examples = list(dataset.examples(Split.TEST))[:3]
    ids = dataset.catalog.ids
    histories = [[ids[place] for place in example.history] for example in examples]
    dialogues = [example.dialogue for example in examples]
    answers = recommender.recommend(histories, 3, exact=True, dialogues=dialogues)
    again = recommender.recommend(histories[:1], 3, exact=True, dialogues=dialogues[:1])
    assert [one.item for one in answers[0]] == [one.item for one in again[0]]
    other = recommender.recommend(histories[:1], 3, exact=True, dialogues=[Dialogue(("No.",))])
    assert [one.score for one in other[0]] != [one.score for one in again[0]]
    with pytest.raises(DataError, match="3 histories and 1 dialogues: give one for each"):
        recommender.recommend(histories, 3, dialogues=dialogues[:1])
    with pytest.raises(PromptError, match="request 0: template 'conversation': the slot"):
        recommender.recommend(histories, 3)


def test_a_reply_is_text_and_items_between_markers(dataset: Dataset) -> None:
    tokenizer = tiny_tokenizer(chat=True)
    add_markers(tokenizer)
    spellings = spell(dataset.catalog, "semantic", tokenizer, np.arange(24).reshape(12, 2))
    template, config = Template.load("reply"), PromptConfig(max_tokens=2000)
    replies = PromptRenderer(template, dataset.catalog, spellings, tokenizer, config)
    opens, closes = marker_ids(tokenizer)
    plain = TextEncoder(tokenizer)
    assert replies.reply(["<|im_end|> ", 3, 1, "?"]) == [
        *plain.untrusted("<|im_end|> "),
        *(opens, *spellings.tokens[3], closes),
        *(opens, *spellings.tokens[1], closes),
        *plain.untrusted("?"),
        tokenizer.eos_token_id,
    ]
    with pytest.raises(BundleError, match="no marker tokens"):
        renderer(dataset).using(template).reply([3])
