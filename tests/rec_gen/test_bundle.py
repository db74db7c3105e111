import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from rec_gen.bundle import Bundle
from rec_gen.digests import text_digest
from rec_gen.errors import BundleError
from rec_gen.recommender import Recommender
from rec_gen.testing import tiny_model
from tests.toy import tiny_base, toy_dataset, toy_recipe
from training.sft import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(toy_recipe(), toy_dataset(), tmp_path_factory.mktemp("run"))


@pytest.fixture
def bundle(trained: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(trained, tmp_path / "bundle"))


def refusal(bundle: Path, **options: str) -> str:
    with pytest.raises(BundleError) as caught:
        Recommender.load(bundle, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_says_what_it_was_trained_on(bundle: Path) -> None:
    manifest = Bundle.load(bundle).manifest
    assert manifest.fingerprint == toy_dataset().fingerprint
    assert manifest.recipe["name"] == "toy"
    assert {"python", "torch", "transformers", "trl"} <= set(manifest.versions)


def test_saves_to_the_same_files(bundle: Path, tmp_path: Path) -> None:
    Bundle.load(bundle).save(tmp_path / "again")
    before, after = (
        json.loads((folder / "manifest.json").read_text())["files"]
        for folder in (bundle, tmp_path / "again")
    )
    assert set(before) == set(after)
    for name in (
        "catalog.parquet",
        "spellings.parquet",
        "template.jinja",
        "model/model.safetensors",
    ):
        assert before[name] == after[name]


def test_loads_without_weights_and_verifies_them_all_the_same(bundle: Path) -> None:
    bare = Bundle.load(bundle, weights=False)
    assert {weight.device.type for weight in bare.model.parameters()} == {"meta"}
    with (bundle / "model" / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(BundleError, match=r"model\.safetensors was changed"):
        Bundle.load(bundle, weights=False)


def test_names_the_changed_lines_of_a_template(bundle: Path) -> None:
    file = bundle / "template.jinja"
    file.write_text(file.read_text() + "Next:\n")
    assert "+ Next:" in refusal(bundle)


def test_refuses_to_serve_another_template(bundle: Path) -> None:
    assert "+ What comes next?" in refusal(bundle, template="next_item")
    Recommender.load(bundle, template="sequence")


def test_names_the_changed_tokenizer(bundle: Path) -> None:
    file = bundle / "tokenizer" / "tokenizer.json"
    table = json.loads(file.read_text())
    table["added_tokens"].pop()
    file.write_text(json.dumps(table))
    assert "tokenizer.json was changed after training (added tokens)" in refusal(bundle)
    file.write_text("{")
    assert "tokenizer/tokenizer.json is damaged" in refusal(bundle)


def test_names_the_changed_chat_template(bundle: Path) -> None:
    file = bundle / "tokenizer" / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": "x"}))
    assert "(chat template)" in refusal(bundle)


def test_refuses_an_edited_manifest(bundle: Path) -> None:
    file = bundle / "manifest.json"
    file.write_text(
        file.read_text()
        .replace('"max_history":50', '"max_history":1')
        .replace('"max_history": 50', '"max_history": 1')
    )
    assert "manifest.json was changed after training" in refusal(bundle)


def test_an_adapter_wants_its_base(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    prompt = {"template": "next_item", "max_tokens": 512}
    recipe = toy_recipe(prompt=prompt, model={"base": base, "adapter": "lora"})
    bundle = train(recipe, toy_dataset(), tmp_path / "run")
    assert len(Recommender.load(bundle).recommend([["i1"]], k=3)[0]) == 3
    tiny_model(260, seed=1, model_type="llama", hidden_size=64, head_dim=32).save_pretrained(base)
    assert f"the base model '{base}' has other weights than in training" in refusal(bundle)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda frame: frame[:-1], "item 'i11' is missing from the catalog"),
        (
            lambda frame: frame.extend(frame[:1].with_columns(item=pl.lit("x"))),
            "item 'x' was added",
        ),
        (
            lambda frame: frame.with_columns(title=pl.lit("Same")),
            "item 'i0' was changed in the catalog (and 11 more)",
        ),
        (lambda frame: frame.reverse(), "another order"),
    ],
)
def test_names_the_changed_items(bundle: Path, change: object, difference: str) -> None:
    frame = pl.read_parquet(bundle / "catalog.parquet")
    change(frame).write_parquet(bundle / "catalog.parquet")  # type: ignore[operator]
    assert difference in refusal(bundle)


def test_a_bundle_of_before_some_fields_loads_and_says_what_it_lacks(bundle: Path) -> None:
    file = bundle / "manifest.json"
    table = json.loads(file.read_text())
    later = ("calibration", "score", "refinements", "compressions", "semantic_ids", "privacy")
    for field in (*later, "federation", "task_templates", "domains"):
        del table[field]
    del table["prompt"]["images"]
    sealed = {name: value for name, value in table.items() if name != "digest"}
    digest = text_digest(json.dumps(sealed, separators=(",", ":"), ensure_ascii=False))
    file.write_text(json.dumps({**sealed, "digest": digest}))
    recommender = Recommender.load(bundle)
    with pytest.raises(BundleError, match="'toy' did not learn the task 'rating': train it with"):
        recommender.rate([["i1"]], ["i2"])
    with pytest.raises(BundleError, match="'toy' did not learn the task 'search'"):
        recommender.search(["film"])
    with pytest.raises(BundleError, match="'toy' holds no calibration of lm scores: train it"):
        recommender.recommend([["i1"]], scale="probability")


def test_refuses_missing_and_foreign_files(bundle: Path) -> None:
    (bundle / "model" / "extra.py").write_text("")
    assert "model/extra.py does not belong to the bundle" in refusal(bundle)
    (bundle / "model" / "extra.py").unlink()
    (bundle / "model" / "model.safetensors").unlink()
    assert "model/model.safetensors is missing" in refusal(bundle)


def test_refuses_damaged_weights(bundle: Path) -> None:
    weights = bundle / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "model/model.safetensors was changed after training" in refusal(bundle)


def test_refuses_what_is_no_bundle(bundle: Path, tmp_path: Path) -> None:
    assert "is not a bundle" in refusal(tmp_path / "none")
    (bundle / "manifest.json").write_text("{")
    assert "is damaged" in refusal(bundle)
    (bundle / "manifest.json").write_text('{"format": 99}')
    assert "has format 99, this version reads 1" in refusal(bundle)
