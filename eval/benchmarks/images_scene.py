"""Items with drawn images and histories of them, for the benchmark of images in prompts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from rec_gen.catalog import Catalog
from rec_gen.templates import Template

ENDINGS = ("png", "jpg", "webp")
TEMPLATE = """{#
task: next_item
version: 1
inputs: history
#}
Seen:
{% for item in history %}
{{ item | image }} {{ item.spelling }}
{% endfor %}
Next:
"""


@dataclass(frozen=True)
class Scene:
    """What is asked.

    Attributes:
        folder: Where the images are.
        catalog: The items; each has an image of its own.
        histories: Item ids.
    """

    folder: Path
    catalog: Catalog
    histories: list[list[str]]

    @property
    def template(self) -> Template:
        """A prompt that shows and spells each item of the history."""
        return Template.parse("covers", TEMPLATE)


def draw_image(path: Path, rng: np.random.Generator) -> None:
    """Draw sixteen fields of random colours, of a random size."""
    fields = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    width, height = rng.integers(24, 200, 2).tolist()
    fields.resize((width, height), Image.Resampling.NEAREST).save(path)


def make_scene(folder: Path, items: int, requests: int, seed: int) -> Scene:
    """Draw images, the last one a spare that no item has, and histories of one to six items."""
    rng = np.random.default_rng(seed)
    names = [f"{item}.{ENDINGS[item % 3]}" for item in range(items)]
    for name in (*names, "spare.png"):
        draw_image(folder / name, rng)
    frame = pl.DataFrame(
        {
            "item": [f"i{item}" for item in range(items)],
            "title": [f"Film {item}" for item in range(items)],
            "image": names,
        }
    )
    histories = [
        [f"i{item}" for item in rng.permutation(items)[: rng.integers(1, 7)]]
        for _ in range(requests)
    ]
    return Scene(folder, Catalog(frame), histories)
