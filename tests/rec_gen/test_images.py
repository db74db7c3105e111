"""Images in prompts: their tokens, what a model sees in them, and what is refused."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog, Item
from rec_gen.decoding.runtimes import runtime_for
from rec_gen.decoding.transformers_runtime import TransformersRuntime
from rec_gen.errors import BundleError, DataError, ModelError, PromptError
from rec_gen.image_files import find_image, open_image
from rec_gen.images import FIRST, ImageReader
from rec_gen.lint import lint
from rec_gen.recommender import Recommender
from rec_gen.templates import Template
from rec_gen.testing import (
    SIDE,
    brute_force,
    random_bundle,
    random_image_bundle,
    tiny_image_model,
    tiny_model,
)
from rec_gen.vllm_worker import engine_options

ROOT = Path(__file__).parents[2]
needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed")
ITEMS = 6
TEXT = """{#
task: next_item
version: 1
inputs: history
#}
Seen:
{% for item in history %}
{% if item.image %}{{ item | image }}{% endif %}{{ item.spelling }}
{% endfor %}
Next:
"""
TEMPLATE = Template.parse("covers", TEXT)


def noise(path: Path, seed: int, side: int = 20) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def covers(tmp_path: Path) -> Path:
    folder = tmp_path / "covers"
    folder.mkdir()
    for item in range(ITEMS):
        noise(folder / f"{item}.png", item)
    return folder


def catalog(*images: str | None) -> Catalog:
    names = [*images, *(f"{item}.png" for item in range(len(images), ITEMS))]
    frame = {
        "item": [f"i{item}" for item in range(ITEMS)],
        "title": [f"Film {item} <image>" for item in range(ITEMS)],
        "image": pl.Series(names, dtype=pl.String),
    }
    return Catalog(pl.DataFrame(frame))


def log_probs(model: Any, ids: list[int]) -> torch.Tensor:
    """What the search sees after a prompt."""
    session = TransformersRuntime(model).read([ids])
    state = session.start().hidden
    tokens = torch.arange(model.get_output_embeddings().weight.shape[0])
    return session.table(state, tokens)[0] - session.normalizers(state)[0]


@pytest.mark.parametrize(("kind", "tiles"), [("idefics3", 1), ("idefics3", 4), ("llava", 1)])
def test_the_search_sees_what_the_model_does_of_its_processor(
    kind: str, tiles: int, covers: Path
) -> None:
    bundle = random_image_bundle(catalog(), covers, TEMPLATE, kind)
    assert bundle.images is not None
    processor = bundle.images.processor
    if tiles > 1:
        processor.image_processor.do_image_splitting = True
        processor.image_processor.size = {"longest_edge": 2 * SIDE}
    prompt = bundle.renderer().render([3, 5, 3])
    seen = sum(token >= FIRST for token in prompt.ids)
    assert seen == 3 * {"llava": 16, "idefics3": 4 * (tiles + (tiles > 1))}[kind]
    text = prompt.text.replace("[image]", processor.image_token)
    # the titles say "<image>" too, which is text in a prompt and would be markup here
    plain = text.replace(" <image>", " <imaga>")
    files = [Image.open(covers / f"{item}.png") for item in (3, 5, 3)]
    inputs = processor(text=plain, images=files, add_special_tokens=False, return_tensors="pt")
    shown = [token if token < FIRST else processor.image_token_id for token in prompt.ids]
    assert len(shown) == inputs["input_ids"].shape[1]
    with torch.inference_mode():
        inputs["input_ids"] = torch.tensor([shown])
        expected = bundle.model(**inputs).logits[0, -1].log_softmax(-1)
    found = log_probs(bundle.model, prompt.ids)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_search_over_prompts_with_images_is_that_of_brute_force(covers: Path) -> None:
    bundle = random_image_bundle(catalog(), covers, TEMPLATE)
    recommender = Recommender(bundle)
    histories = [["i1", "i2"], ["i1", "i3"], ["i4", "i1", "i2"], []]
    answers = recommender.recommend(histories, k=ITEMS, exact=True, exclude_seen=False)
    for history, answer in zip(histories, answers, strict=True):
        ids = bundle.renderer().render([bundle.catalog.position(item) for item in history]).ids
        scores = brute_force(
            runtime_for(bundle.model), ids, bundle.spellings.tokens, [True] * ITEMS, "lm"
        )
        assert [found.item.id for found in answer] == [
            bundle.catalog.ids[item] for item in sorted(scores, key=lambda item: -scores[item])
        ]
        for found in answer:
            expected = scores[bundle.catalog.position(found.item.id)]
            assert found.score == pytest.approx(expected, abs=1e-3)


def test_another_image_is_another_prompt_and_another_score(covers: Path) -> None:
    bundle = random_image_bundle(catalog(), covers, TEMPLATE)
    renderer = bundle.renderer()
    before = renderer.render([1, 2]).ids
    scores = log_probs(bundle.model, before)
    noise(covers / "1.png", 100, side=24)
    after = renderer.render([1, 2]).ids
    assert [token < FIRST for token in after] == [token < FIRST for token in before]
    assert after != before
    assert (log_probs(bundle.model, after) - scores).abs().max() > 1e-3
    (covers / "copy.png").write_bytes((covers / "2.png").read_bytes())
    images = bundle.images
    assert images is not None
    assert images.ids("copy.png") == images.ids("2.png")


def test_a_bundle_keeps_what_its_prompts_show(covers: Path, tmp_path: Path) -> None:
    bundle = random_image_bundle(catalog(None), covers, TEMPLATE)
    bundle.save(tmp_path / "bundle")
    loaded = Recommender.load(tmp_path / "bundle", device="cpu")
    (answer,), (expected,) = (
        each.recommend([["i0", "i1"]], k=5) for each in (loaded, Recommender(bundle))
    )
    assert [found.item.id for found in answer] == [found.item.id for found in expected]
    # an item that comes later is shown at once
    noise(covers / "new.png", 200)
    fields = {"image": "new.png"}
    loaded.put_items([Item("new", "Film new", fields)])
    assert loaded.recommend([["new"]], k=3)
    loaded.put_items([Item("far", "Film far", {"image": "https://example.org/far.png"})])
    with pytest.raises(PromptError, match=r"request 0: item 'far': image .* is an address"):
        loaded.recommend([["far"]], k=3)
    assert len(Bundle.load(tmp_path / "bundle", weights=False).catalog) == ITEMS


def test_text_never_becomes_an_image(covers: Path) -> None:
    bundle = random_image_bundle(catalog(), covers, TEMPLATE)
    prompt = bundle.renderer().render([1])
    assert prompt.text.count("<image>") == 1
    assert bundle.tokenizer.convert_tokens_to_ids("<image>") not in prompt.ids
    forged = Template.parse("forged", TEXT.replace("item | image", "item.title | image"))
    with pytest.raises(PromptError, match="template 'forged': 'str' object has no attribute"):
        bundle.renderer().using(forged).render([1])


def test_a_template_that_shows_images_wants_them(covers: Path) -> None:
    assert TEMPLATE.shows_images
    assert not Template.load("sequence").shows_images
    bundle = random_bundle(catalog(), "title")
    with pytest.raises(PromptError, match="'covers' shows images: name their folder as prompt"):
        bundle.renderer().using(TEMPLATE).render([1])
    always = TEXT.replace("{% if item.image %}", "").replace("{% endif %}", "")
    without = random_image_bundle(catalog(None), covers, Template.parse("always", always))
    with pytest.raises(PromptError, match="item 'i0': has no image: ask for it in the template"):
        without.renderer().render([0])


def test_other_models_read_no_images(covers: Path) -> None:
    processor, _ = tiny_image_model()
    with pytest.raises(ModelError, match="architecture idefics3 or llava, and this is qwen3"):
        ImageReader(processor, covers).show_to(tiny_model(20))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ImageReader:
    folder = tmp_path_factory.mktemp("covers")
    for item in range(3):
        noise(folder / f"{item}.png", item)
    return ImageReader(tiny_image_model()[0], folder)


@given(st.lists(st.integers(0, 200) | st.sampled_from(["0.png", "1.png", "2.png"]), max_size=12))
def test_vllm_gets_one_token_for_each_image(reader: ImageReader, parts: list[Any]) -> None:
    token = reader.processor.image_token_id
    shown = [part for part in parts if isinstance(part, str)]
    tokens = [[part] if isinstance(part, int) else reader.ids(part) for part in parts]
    ids = list(chain(*tokens))
    prompt = reader.vllm_prompt(ids)
    assert prompt["prompt_token_ids"] == [p if isinstance(p, int) else token for p in parts]
    images = prompt.get("multi_modal_data", {"image": []})["image"]
    assert [image.tobytes() for image in images] == [
        Image.open(reader.folder / name).tobytes() for name in shown
    ]


def test_vllm_gets_no_image_that_is_none(reader: ImageReader) -> None:
    with pytest.raises(ModelError, match="the prompt spells the token of an image"):
        reader.vllm_prompt([7, reader.processor.image_token_id])


@needs_vllm
@pytest.mark.slow
def test_vllm_and_transformers_answer_alike(tmp_path: Path) -> None:
    sizes = {"items": 15, "requests": 1, "vllm-requests": 4, "steps": 0, "rounds": 0}
    options = [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
    file = ("--json", str(tmp_path / "f.json"))
    command = [sys.executable, "-m", "eval.benchmarks.images", *options, *file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads((tmp_path / "f.json").read_text())["figures"]
    assert (figures["vllm_requests"], figures["vllm_invalid_answers"]) == (4, 0)
    assert figures["vllm_lists_that_differ"] == 0
    assert figures["vllm_largest_difference"] < 1e-3


def test_the_search_inside_vllm_is_refused(covers: Path) -> None:
    manifest = random_image_bundle(catalog(), covers, TEMPLATE).manifest
    with pytest.raises(BundleError, match="its prompts show images: serve it by transformers"):
        engine_options(covers, manifest)


def test_an_item_may_name_its_file_beside_its_address(covers: Path) -> None:
    address = pl.lit("https://example.org/a.png").alias("image")
    both = Catalog(catalog().frame.rename({"image": "image_file"}).with_columns(address))
    guarded = Template.parse("covers", TEXT.replace("if item.image %", "if item.image_file %"))
    one = random_image_bundle(both, covers, guarded).renderer().render([1, 2])
    other = random_image_bundle(catalog(), covers, TEMPLATE).renderer().render([1, 2])
    assert one.ids == other.ids


def test_the_template_of_the_docs_is_clean(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```jinja\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "shown.jinja").write_text(shown)
    assert lint(str(tmp_path / "shown.jinja")).startswith("ok")
    assert Template.load(str(tmp_path / "shown.jinja")).shows_images


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("http://localhost/1.png", "is an address: prompts fetch nothing"),
        ("file:///etc/passwd", "is an address"),
        ("data:image/png;base64,AAAA", "is an address"),
        ("../secret.png", "is no file inside"),
        ("/etc/hostname", "is no file inside"),
        ("link.png", "is no file inside"),
        (".", "is no file inside"),
        ("gone.png", "cannot be found in"),
        ("a\0b", "cannot be found in"),
        (None, "has no image"),
        (7, "has no image"),
    ],
)
def test_images_are_files_inside_their_folder(name: object, message: str, covers: Path) -> None:
    noise(covers.parent / "secret.png", 0)
    (covers / "link.png").symlink_to(covers.parent / "secret.png")
    with pytest.raises(DataError, match=message):
        find_image(covers, name)


def _huge(path: Path) -> None:
    Image.new("1", (10_000, 6_000)).save(path)


def _cut(path: Path) -> None:
    noise(path, 0)
    path.write_bytes(path.read_bytes()[:200])


def _vector(path: Path) -> None:
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_huge, "has 10000 x 6000 pixels, more than 50000000: make it smaller"),
        (_cut, "cannot be read"),
        (_vector, "give a whole file of the formats GIF, JPEG, PNG, WEBP"),
    ],
)
def test_damaged_and_huge_images_are_refused(
    make: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    make(tmp_path / "image.png")
    with pytest.raises(DataError, match=message):
        open_image(find_image(tmp_path, "image.png"))


def test_an_image_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    photo, file = Image.new("RGB", (30, 10)), io.BytesIO()
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(file, "JPEG", exif=exif)
    (tmp_path / "photo.jpg").write_bytes(file.getvalue())
    assert open_image(tmp_path / "photo.jpg")[0].size == (10, 30)
