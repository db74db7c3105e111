"""Which runtime serves a model."""

import logging

from transformers import PreTrainedModel

from rec_gen.decoding.reread_runtime import RereadRuntime
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.transformers_runtime import TransformersRuntime

SUPPORTED = ("gemma3_text", "llama", "mistral", "qwen2", "qwen3")
"""Architectures whose shared prompts were compared with brute force."""


def runtime_for(model: PreTrainedModel) -> Runtime:
    """The fastest runtime that an architecture supports; says so when it is the slow one."""
    architecture = model.config.model_type
    if architecture in SUPPORTED:
        return TransformersRuntime(model)
    logging.getLogger(__name__).warning(
        "beams of the architecture '%s' cannot share their prompt: each step reads it again",
        architecture,
    )
    return RereadRuntime(model)
