"""What an image costs at the size of a real model, whose weights may be random for that."""

from pathlib import Path

import torch

from eval.benchmarks.images_mechanics import milliseconds
from rec_gen.decoding.transformers_runtime import TransformersRuntime
from rec_gen.image_files import open_image
from rec_gen.images import ImageReader
from rec_gen.testing import tiny_image_processor

SHOWN = 8
"""Images in a prompt."""
TEXT = 200
"""Other tokens in a prompt."""
SIDE, PATCH = 512, 16


def cost(folder: Path, image: str, rounds: int) -> dict[str, float]:
    """Time images and prompts on a model of the shape of SmolVLM-256M-Instruct, in float32.

    Args:
        folder: Where the images are.
        image: One of them.
        rounds: Times that each is measured; the median counts.
    """
    from transformers import AutoModelForImageTextToText, Idefics3Config

    tokens = SIDE * SIDE // PATCH**2 // 16
    processor = tiny_image_processor("idefics3", SIDE, tokens)
    config = Idefics3Config(
        image_token_id=processor.image_token_id,
        scale_factor=4,
        text_config={
            "model_type": "llama", "vocab_size": 49280, "hidden_size": 576, "pad_token_id": 0,
            "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
            "num_key_value_heads": 3, "max_position_embeddings": 8192,
        },
        vision_config={
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
            "num_attention_heads": 12, "image_size": SIDE, "patch_size": PATCH,
        },
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config).eval()
    images = ImageReader(processor, folder)
    images.show_to(model)
    runtime = TransformersRuntime(model)
    shown = images.ids(image)
    text = list(range(3, 3 + TEXT))
    with_images = [*text, *shown * SHOWN]
    runtime.read([with_images])  # the image's features are kept from here on
    pixels = processor(
        text=processor.image_token, images=[open_image(folder / image)[0]], return_tensors="pt"
    )
    look = {name: pixels[name] for name in ("pixel_values", "pixel_attention_mask")}
    with torch.inference_mode():
        tower = milliseconds(lambda: model.get_image_features(**look), rounds)
    plain = milliseconds(lambda: runtime.read([text]), rounds)
    full = milliseconds(lambda: runtime.read([with_images]), rounds)
    return {
        "real_tokens_an_image": len(shown),
        "real_ms_to_see_an_image": tower,
        "real_ms_to_read_text": plain,
        "real_ms_to_read_text_and_images": full,
        "real_ms_an_image_seen_before": (full - plain) / SHOWN,
    }
