"""Vectors of items from columns: given ones, texts, and images by a model such as CLIP."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from rec_gen.catalog import Catalog
from rec_gen.errors import ConfigError, DataError, ModelError, RecGenError
from rec_gen.item_columns import image_vectors, stored_vectors, text_vectors
from rec_gen.semantic_ids import ItemVectorConfig, source_vectors


def catalog(**columns: pl.Series | Sequence[object]) -> Catalog:
    return Catalog(pl.DataFrame({"item": ["a", "b", "c"], "title": ["A", "B", "C"], **columns}))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CLIP with random weights, saved as sentence-transformers saves one."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    tokens = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
    tokens += [f"{token}</w>" for token in tokens]
    names = [*tokens, "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({name: at for at, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    shape = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }  # fmt: skip
    config = CLIPConfig(
        text_config={**shape, "vocab_size": len(names), "max_position_embeddings": 16,
                     "bos_token_id": len(names) - 2, "eos_token_id": len(names) - 1},
        vision_config={**shape, "image_size": 16, "patch_size": 8},
        projection_dim=8,
    )  # fmt: skip
    images = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    CLIPModel(config).save_pretrained(folder)
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    SentenceTransformer(modules=[Transformer(str(folder))]).save(str(folder / "saved"))
    return str(folder / "saved")


def test_a_column_of_vectors_is_taken_as_it_is() -> None:
    look = pl.Series([[1.0, 2.0], None, [3, 4]], dtype=pl.List(pl.Float64))
    found = stored_vectors(catalog(look=look), "look")
    assert found.tolist() == [[1, 2], [0, 0], [3, 4]]
    fixed = pl.Series([[1, 2], [3, 4], [5, 6]], dtype=pl.Array(pl.Int32, 2))
    assert stored_vectors(catalog(look=fixed), "look").tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[1.0], [1.0, 2.0], [1.0]], "item 'b': column 'look' needs 1 finite numbers"),
        ([[1.0], None, [float("inf")]], "item 'c': column 'look' needs 1 finite"),
        ([[1.0], [None], [1.0]], "item 'b': column 'look' needs 1 finite"),
        ([["x"], ["y"], ["z"]], r"column 'look' holds List\(String\): vectors are lists of num"),
        ([1.0, 2.0, 3.0], "column 'look' holds Float64"),
    ],
)
def test_what_is_no_vector_is_refused(cells: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        stored_vectors(catalog(look=cells), "look")


def test_a_column_that_is_not_there_is_named() -> None:
    for source in ("vectors:look", "image:look", "text:look"):
        config = ItemVectorConfig(sources=(source,), encoders={"look": "x"})
        with pytest.raises(RecGenError, match="there is no column 'look'; it has item, title"):
            source_vectors(source, catalog(), (), config, 0)


def test_images_and_texts_are_encoded_on_the_way_in(clip: str, tmp_path: Path) -> None:
    for name, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        Image.new("RGB", (20, 20), color).save(tmp_path / f"{name}.png")
    paths = [str(tmp_path / "red.png"), None, str(tmp_path / "blue.png")]
    items = catalog(cover=paths, note=["red", "", None])
    config = ItemVectorConfig(
        sources=("image:cover", "text:note"), encoders={"cover": clip, "note": clip}
    )
    seen = source_vectors("image:cover", items, (), config, 0)
    assert seen.shape == (3, 8)
    assert seen[0].any()
    assert not seen[1].any()
    assert not np.allclose(seen[0], seen[2])
    read = source_vectors("text:note", items, (), config, 0)
    assert read.shape == (3, 8)
    assert read.any(axis=1).tolist() == [True, False, False]


def test_images_need_files_and_a_model(clip: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no image")
    Image.new("RGB", (20, 20)).save(tmp_path / "torn.png")
    whole = (tmp_path / "torn.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(whole.replace(b"IDAT", b"IDA\xff"))
    wrong = {
        "x.png": "image 'x.png' cannot be read",
        "torn.png": "image 'torn.png' cannot be read",
        "none.png": "there is no image '.*'",
    }
    for path, message in wrong.items():
        with pytest.raises(DataError, match=f"item 'a': {message}"):
            image_vectors(catalog(cover=[str(tmp_path / path)] * 3), "cover", clip)
    with pytest.raises(ConfigError, match="names no model for the images in 'cover'"):
        image_vectors(catalog(cover=["x"] * 3), "cover", None)
    with pytest.raises(ModelError, match="model '/none/there' is not a local folder"):
        text_vectors(["text"], "/none/there")
