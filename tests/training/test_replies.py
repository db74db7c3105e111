import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rec_gen.bundle import Bundle
from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Dataset
from rec_gen.data.prepare import prepare
from rec_gen.errors import ConfigError
from rec_gen.markers import marker_ids
from rec_gen.templates import Template
from rec_gen.text import TextEncoder
from tests.talk import RESPONSE, talk_dataset, talk_recipe, write_opendialkg
from tests.toy import tiny_base
from training.composition import NAME, composed
from training.examples import IGNORED, Row
from training.mixture import task_templates, training_rows
from training.ranking import validation_examples
from training.recipe import Recipe
from training.setup import Materials, prepare_materials
from training.sft import sft_trainer, train, untrained_bundle

REPLY = [{"template": "reply", "weight": 1.0}]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return talk_dataset(tmp_path_factory.mktemp("talk"))


def prepared(recipe: Recipe, dataset: Dataset) -> tuple[Bundle, Materials]:
    main = Template.load(recipe.prompt.template)
    tasks = task_templates(recipe, main)
    materials = prepare_materials(recipe, dataset, main, tasks)
    return untrained_bundle(recipe, dataset, main, materials, tasks), materials


def reply_rows(recipe: Recipe, dataset: Dataset, bundle: Bundle) -> list[Row]:
    """The rows of the task, which follow those of the recipe's own prompt."""
    rows = training_rows(recipe, dataset, bundle)
    return rows[len(rows) // 2 :]


def test_a_bundle_learns_replies_and_its_tokenizer_has_the_markers(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Bundle.load(train(talk_recipe(tasks=REPLY), dataset, tmp_path))
    assert bundle.task_template("reply").name == "reply"
    assert not set(marker_ids(bundle.tokenizer)).intersection(*bundle.spellings.tokens)
    assert bundle.model.get_input_embeddings().num_embeddings == len(bundle.tokenizer)
    # what replies alone say is in the vocabulary
    assert len(bundle.tokenizer.tokenize(f" {RESPONSE.split()[-1]}")) == 1
    assert "replies: 49 of 49 name an item that they recommend" in capsys.readouterr().err


def test_a_row_is_text_and_marked_spellings(dataset: Dataset) -> None:
    recipe = talk_recipe(tasks=REPLY)
    bundle, _ = prepared(recipe, dataset)
    opens, closes = marker_ids(bundle.tokenizer)
    text = TextEncoder(bundle.tokenizer).untrusted(f"{RESPONSE}: ")
    items = []
    for row in reply_rows(recipe, dataset, bundle):
        answer = [label for label in row["labels"] if label != IGNORED]
        assert row["input_ids"][-len(answer) :] == answer
        assert answer[: len(text)] == text
        opened, item, closed, end = answer[len(text) :]
        assert (opened, closed, end) == (opens, closes, bundle.tokenizer.eos_token_id)
        items.append(item)
    spelled = {int(tokens[0]) for tokens in bundle.spellings.tokens}
    assert set(items) <= spelled
    assert sorted(items) == sorted(
        int(bundle.spellings.tokens[item][0])
        for sequence in dataset.sequences()
        for item in sequence.items[sequence.targets]
    )


def test_held_out_replies_change_no_row(dataset: Dataset, tmp_path: Path) -> None:
    folder = write_opendialkg(tmp_path / "opendialkg")
    for split in ("valid", "test"):
        path = folder / f"{split}.jsonl"
        path.write_text(path.read_text().replace(RESPONSE, "Something else, said of Dawn Two"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECGEN_DATA", str(tmp_path))
        other = prepare(DataConfig(source="opendialkg"), tmp_path / "prepared")
    assert other.fingerprint != dataset.fingerprint
    recipe = talk_recipe(tasks=REPLY)
    rows = [training_rows(recipe, data, prepared(recipe, data)[0]) for data in (dataset, other)]
    assert rows[0] == rows[1]


def silent(folder: Path, reply: str | None) -> Dataset:
    """The data with another reply in each training turn, or none."""
    source = write_opendialkg(folder / "opendialkg")
    rows = [json.loads(line) for line in (source / "train.jsonl").read_text().splitlines()]
    lines = [json.dumps({**row, "resp": reply}) for row in rows]
    (source / "train.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECGEN_DATA", str(folder))
        return prepare(DataConfig(source="opendialkg"), folder / "prepared")


@pytest.mark.parametrize(("reply", "said"), [("I do not know.", 49), (None, 0)])
def test_replies_without_a_recommended_item_are_refused(
    reply: str | None, said: int, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"tasks: none of {said} replies of training names"):
        train(talk_recipe(tasks=REPLY), silent(tmp_path, reply), tmp_path / "run")


def test_markers_are_learnt_as_text_and_items_over_the_catalog(
    dataset: Dataset, tmp_path: Path
) -> None:
    recipe = talk_recipe(tasks=REPLY, train={"text_weight": 0.25})
    bundle, materials = prepared(recipe, dataset)
    held = validation_examples(dataset, recipe.validation, recipe.seed)
    trainer = sft_trainer(recipe, dataset, bundle, tmp_path, held, materials.new_tokens)
    rows = reply_rows(recipe, dataset, bundle)[:4]
    batch = trainer.data_collator(rows)
    items = torch.tensor([int(tokens[0]) for tokens in bundle.spellings.tokens])
    with torch.no_grad():
        loss = trainer.compute_loss(bundle.model, {**batch})
        labels = batch.pop("labels")[:, 1:]
        logits = bundle.model(**batch).logits[:, :-1]
    known = torch.isin(labels, items)
    assert known.sum() == len(rows)
    among = torch.full_like(logits, -torch.inf)
    among[..., items] = logits[..., items]
    logits = torch.where(known[..., None], among, logits)
    losses = torch.nn.functional.cross_entropy(logits.mT, labels, reduction="none")
    weights = torch.where(known, 1.0, 0.25) * (labels >= 0)
    expected = (losses * weights).sum() / weights.sum()
    torch.testing.assert_close(loss, expected)


def test_the_weight_of_text_needs_a_loss_that_tells_it_from_items() -> None:
    with pytest.raises(ConfigError, match='text_weight needs score = "catalog"'):
        talk_recipe(train={"score": "lm", "text_weight": 0.5})


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_an_adapter_trains_the_markers_beside_composed_items(
    tied: bool, dataset: Dataset, tmp_path: Path
) -> None:
    model: dict[str, Any] = {"base": tiny_base(tmp_path / "base", tied=tied), "adapter": "lora"}
    recipe = talk_recipe(
        prompt={"max_tokens": 900}, model={**model, "embed": ["words"]}, tasks=REPLY
    )
    bundle, materials = prepared(recipe, dataset)
    markers = torch.tensor(marker_ids(bundle.tokenizer))
    assert not set(markers.tolist()).intersection(materials.new_tokens)
    for table in (bundle.model.get_input_embeddings(), bundle.model.get_output_embeddings()):
        delta = table.token_adapter.trainable_tokens_delta["default"]
        assert len(delta) == len(materials.new_tokens) + len(markers)
    before = bundle.model.get_input_embeddings()(markers).detach().clone()
    held = validation_examples(dataset, recipe.validation, recipe.seed)[:2]
    trainer = sft_trainer(recipe, dataset, bundle, tmp_path, held, materials.new_tokens)
    batch = trainer.data_collator(reply_rows(recipe, dataset, bundle)[:4])
    optimizer = torch.optim.SGD([p for p in bundle.model.parameters() if p.requires_grad], 0.1)
    trainer.compute_loss(bundle.model, batch).backward()
    optimizer.step()
    bundle.model.eval()
    table = bundle.model.get_input_embeddings()
    with torch.no_grad(), composed(bundle.model):
        shown, after = table(torch.tensor([*materials.new_tokens])), table(markers)
    assert not torch.isclose(before, after).all(1).any()
    free = table.token_adapter.trainable_tokens_delta["default"][: len(materials.new_tokens)]
    torch.testing.assert_close(shown, getattr(bundle.model, NAME)(free, 0))
