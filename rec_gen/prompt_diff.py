"""What changes for a model when one template stands in the place of another."""

import difflib
from collections.abc import Iterator

import numpy as np

from rec_gen.data.dataset import Dataset, Split
from rec_gen.errors import DataError
from rec_gen.prompting import PromptRenderer
from rec_gen.slots import Known, Shot


def diff_examples(
    one: PromptRenderer,
    other: PromptRenderer,
    dataset: Dataset,
    shots: tuple[Shot, ...],
    users: int,
    seed: int,
) -> Iterator[str]:
    """Render held-out examples with two templates.

    Args:
        one: The first template's renderer.
        other: The second's.
        dataset: The data.
        shots: What `draw_shots` drew.
        users: How many test examples are drawn.
        seed: Of the draw.

    Yields:
        For each example, a unified diff of the two prompts below their token counts.

    Raises:
        DataError: The test split holds too few examples.
        PromptError: A template cannot be rendered.
    """
    examples = list(dataset.examples(Split.TEST))
    if len(examples) < users:
        raise DataError(
            f"{dataset.name}: the test split holds {len(examples)} examples and not {users}: "
            "ask for fewer users"
        )
    for index in np.random.default_rng(seed).choice(len(examples), users, replace=False):
        example = examples[index]
        known, asked = Known.of(dataset, example, shots), example.target
        title = dataset.catalog.titles[asked]
        prompts = [
            renderer.render(example.history, item=asked, text=title, known=known)
            for renderer in (one, other)
        ]
        old, new = (prompt.text.splitlines() for prompt in prompts)
        old_name, new_name = (
            f"{renderer.template.name} v{renderer.template.header['version']}, "
            f"user {example.user}: {len(prompt.ids)} tokens, {prompt.kept} items"
            for renderer, prompt in zip((one, other), prompts, strict=True)
        )
        lines = difflib.unified_diff(old, new, old_name, new_name, lineterm="")
        yield "\n".join(lines) or f"{old_name}: equal"
