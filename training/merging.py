"""An adapter's weights inside those of its base model."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers import PreTrainedModel

from rec_gen.models import Dtype, cast_weights


def merge_adapter(adapted: PreTrainedModel, dtype: Dtype) -> PreTrainedModel:
    """A plain model that computes what an adapter on its base computes, up to rounding.

    Sums are made in float32 and rounded once. A base in 4 bits becomes what it stood for when the
    adapter was trained, and not what it was before it was quantised.

    Args:
        adapted: A PEFT model; it is taken apart.
        dtype: The type of the weights that are returned.
    """
    from peft import PeftModel

    if getattr(adapted.get_base_model(), "is_quantized", False):
        with TemporaryDirectory() as folder:
            adapted.save_pretrained(folder, save_embedding_layers=False)
            base = adapted.unload()
            base.dequantize(torch.float32)
            adapted = PeftModel.from_pretrained(base, Path(folder))
    merged: PreTrainedModel = adapted.float().merge_and_unload()
    return cast_weights(merged, getattr(torch, dtype)).eval()
