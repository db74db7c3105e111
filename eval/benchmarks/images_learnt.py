"""Whether training sees images: people walk around a ring of items that prompts show, unnamed.

The same model is trained twice by `recgen train`, once with an image of its own for each item and
once with one image for all, which tells nothing. Both are evaluated on the test split.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from eval.benchmarks.images_scene import draw_image
from rec_gen.errors import RecGenError
from rec_gen.testing import tiny_image_model

ITEMS, LENGTH = 24, 8
ARMS = {"own_images": "{}.png", "one_image": "0.png"}
TEMPLATE = """{#
task: next_item
version: 1
inputs: history
#}
Seen:
{% for item in history %}
{{ item | image }}
{% endfor %}
Next:
"""
RECIPE = """
name = "{arm}"

[data]
name = "ring"
interactions = {{ path = "{folder}/ring.csv" }}
items = {{ path = "{folder}/{arm}.csv" }}

[prompt]
template = "{folder}/shown.jinja"
images = "{folder}/images"
max_tokens = 128

[spelling]
scheme = "item"

[model]
base = "{folder}/base"
dtype = "float32"

[train]
loss = "last-item"
max_steps = {steps}
batch_size = 16
learning_rate = 3e-3
warmup_steps = 20

[validation]
every_steps = {every}

"""


def learnt(folder: Path, users: int, steps: int, seed: int) -> dict[str, Any]:
    """Train and evaluate both; the report of `recgen evaluate` for each.

    Args:
        folder: Receives the data and the runs.
        users: Users of the data.
        steps: Steps of each training.
        seed: Of data and weights.

    Raises:
        RecGenError: A command failed.
    """
    _write_data(folder, users, seed)
    processor, model = tiny_image_model("idefics3", seed)
    processor.save_pretrained(folder / "base")
    model.save_pretrained(folder / "base")
    (folder / "shown.jinja").write_text(TEMPLATE, encoding="utf-8")
    reports = {}
    for arm in ARMS:
        recipe, out, report = (folder / f"{arm}{end}" for end in (".toml", "", ".json"))
        text = RECIPE.format(arm=arm, folder=folder, steps=steps, every=max(1, steps // 4))
        recipe.write_text(text, encoding="utf-8")
        _run("train", recipe, "--out", out)
        asked = ("--include-seen", "--baselines", "popularity,markov", "--json", report)
        _run("evaluate", out / "bundle", *asked)
        reports[arm] = json.loads(report.read_text(encoding="utf-8"))
    return reports


def _write_data(folder: Path, users: int, seed: int) -> None:
    """Each user walks around the ring from somewhere, one way or the other."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir()
    for item in range(ITEMS):
        draw_image(folder / "images" / f"{item}.png", rng)
    for arm, image in ARMS.items():
        items = range(ITEMS)
        pl.DataFrame(
            {
                "item": [f"i{item}" for item in items],
                "title": [f"Film {item}" for item in items],
                "image": [image.format(item) for item in items],
            }
        ).write_csv(folder / f"{arm}.csv")
    rows = [
        (f"u{user}", f"i{(start + way * time) % ITEMS}", time)
        for user, (start, way) in enumerate(
            zip(rng.integers(0, ITEMS, users), rng.choice([-1, 1], users), strict=True)
        )
        for time in range(LENGTH)
    ]
    pl.DataFrame(rows, ["user", "item", "time"], orient="row").write_csv(folder / "ring.csv")


def _run(command: str, *arguments: object) -> None:
    words = [sys.executable, "-m", "rec_gen", command, *map(str, arguments)]
    if subprocess.run(words, check=False, stdout=sys.stderr).returncode:
        raise RecGenError(f"recgen {command}: it failed; its message stands above")
