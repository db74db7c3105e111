"""Images in prompts: each becomes token ids of its own, which a model embeds as its features.

The ids lie beyond every vocabulary and follow from the content of the file alone. Whatever compares
prompts by their ids, such as the search that reads a shared beginning once, therefore never takes
one image for another. A model that was shown images embeds such an id as LLaVA does (Liu et al.,
2023): by the state of its vision tower, projected, in the place of a token's embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rec_gen.catalog import Item
from rec_gen.errors import DataError, ModelError, PromptError
from rec_gen.image_files import find_image, open_image

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, ProcessorMixin

IMAGE_MODELS = ("idefics3", "llava")
"""Architectures that read images as tokens in a row, with one position each."""
FIRST = 1 << 62
_PLACES = 16
"""Bits of an id that say which token of the image it is; those above say which image."""
KEPT = 1024
"""Images whose features are kept; one of SmolVLM with 64 tokens takes 150 kB in float32."""
_TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")


@dataclass(frozen=True)
class _Shown:
    """An image that stood in a prompt: its file, and where its features stand in its tokens."""

    path: Path
    digest: bytes
    lead: int
    length: int


class ImageReader:
    """Makes token ids of images, and lets a model see what they stand for.

    Attributes:
        processor: The model's own, from transformers.
        folder: Where the images lie.
    """

    def __init__(self, processor: "ProcessorMixin", folder: Path) -> None:
        self.processor = processor
        self.folder = folder
        self._token = int(processor.image_token_id)
        self._shown: dict[int, _Shown] = {}
        self._tokens = lru_cache(maxsize=1 << 14)(self._tokenize)

    def ids(self, name: object) -> list[int]:
        """The tokens of an image; those that carry its features have ids of this image alone.

        Args:
            name: What the catalog says: a path below the folder.

        Raises:
            DataError: The image cannot be read.
        """
        path = find_image(self.folder, name)
        stat = path.stat()
        ids: list[int] = self._tokens(path, stat.st_mtime_ns, stat.st_size).tolist()
        return ids

    def show_to(self, model: "PreTrainedModel") -> None:
        """Let a model embed the ids of images from now on; its vision tower is never trained.

        Raises:
            ModelError: The model reads no images, or in a way that is not supported.
        """
        kind = model.config.model_type
        if kind not in IMAGE_MODELS:
            raise ModelError(
                f"{model.config.name_or_path or kind}: a prompt with images needs a model of the "
                f"architecture {' or '.join(IMAGE_MODELS)}, and this is {kind}: choose another, "
                "or leave prompt.images out"
            )
        embedding = model.get_input_embeddings()
        embed = embedding.forward
        features = lru_cache(maxsize=KEPT)(partial(self._features, model))

        def forward(ids: "torch.Tensor") -> "torch.Tensor":
            seen = ids >= FIRST
            if not bool(seen.any()):
                return embed(ids)  # type: ignore[no-any-return]
            embedded: torch.Tensor = embed(ids.masked_fill(seen, self._token))
            asked = ids[seen] - FIRST
            keys, places = asked >> _PLACES, asked & ((1 << _PLACES) - 1)
            rows = embedded.new_empty(len(keys), embedded.shape[-1])
            for key in set(keys.tolist()):
                here = keys == key
                rows[here] = features(key)[places[here]].to(rows)
            return embedded.masked_scatter(seen[..., None], rows)

        embedding.forward = forward

    def vllm_prompt(self, ids: Sequence[int]) -> dict[str, Any]:
        """A prompt as vLLM takes it: one token for each image, and the images beside them.

        Raises:
            ModelError: The prompt holds the token of an image that is none.
        """
        if self._token in ids:
            raise ModelError("the prompt spells the token of an image: write {{ item | image }}")
        tokens: list[int] = []
        images = []
        place = 0
        while place < len(ids):
            token, place = ids[place], place + 1
            if token < FIRST:
                tokens.append(token)
                continue
            shown = self._shown[(token - FIRST) >> _PLACES]
            del tokens[len(tokens) - shown.lead :]
            tokens.append(self._token)
            images.append(_reopen(shown))
            place += shown.length - shown.lead - 1
        prompt: dict[str, Any] = {"prompt_token_ids": tokens}
        return prompt | {"multi_modal_data": {"image": images}} if images else prompt

    def _tokenize(self, path: Path, modified: int, size: int) -> npt.NDArray[np.int64]:
        """The tokens of a file; it is read anew when its time or size has changed."""
        image, digest = open_image(path)
        tokens = np.array(self._process(image)["input_ids"][0].tolist(), dtype=np.int64)
        places = np.flatnonzero(tokens == self._token)
        if not 0 < len(places) < 1 << _PLACES:
            raise DataError(
                f"image '{path.name}': the model's processor makes {len(places)} tokens of it"
            )
        key = int.from_bytes(digest, "big") >> (64 - 62 + _PLACES)
        tokens[places] = FIRST + (key << _PLACES) + np.arange(len(places))
        shown = _Shown(path, digest, int(places[0]), len(tokens))
        if self._shown.get(key, shown).digest != digest:
            raise DataError(f"image '{path.name}': its digest begins as another's: save it anew")
        self._shown[key] = shown
        return tokens

    def _process(self, image: Any) -> Any:
        text = self.processor.image_token
        return self.processor(
            text=text, images=[image], add_special_tokens=False, return_tensors="pt"
        )

    def _features(self, model: "PreTrainedModel", key: int) -> "torch.Tensor":
        """What a model sees in an image, [tokens, width]."""
        import torch

        shown = self._shown[key]
        inputs = self._process(_reopen(shown))
        pixels = {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
            if name not in _TEXT
        }
        # training may go on from what a search has kept
        with torch.inference_mode(False), torch.no_grad():
            parts = model.get_image_features(**pixels).pooler_output
            features = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
        places = int((inputs["input_ids"] == self._token).sum())
        if len(features) != places:
            raise ModelError(
                f"image '{shown.path.name}': the model makes {len(features)} features of it and "
                f"its processor {places} tokens: use the processor of this model"
            )
        return features


def image_ids(images: ImageReader | None, item: Item, template: str) -> list[int]:
    """The tokens of an item's image.

    Args:
        images: What reads images, if anything does.
        item: Its column `image_file` names the file, or else its column `image`.
        template: The template that shows it, for errors.

    Raises:
        PromptError: Nothing reads images, or the image cannot be read.
    """
    if images is None:
        raise PromptError(f"template '{template}' shows images: name their folder as prompt.images")
    try:
        return images.ids(item.fields.get("image_file") or item.fields.get("image"))
    except DataError as error:
        raise PromptError(f"item '{item.id}': {error}") from error


def _reopen(shown: _Shown) -> Any:
    image, digest = open_image(shown.path)
    if digest != shown.digest:
        raise DataError(f"image '{shown.path.name}' was changed after it was read: ask again")
    return image
