"""Which runtime serves a model."""

import logging

from transformers import PreTrainedConfig, PreTrainedModel

from rec_gen.decoding.reread_runtime import RereadRuntime
from rec_gen.decoding.runtime import Runtime
from rec_gen.decoding.transformers_runtime import TransformersRuntime
from rec_gen.errors import ModelError
from rec_gen.images import IMAGE_MODELS

SUPPORTED = ("gemma3_text", "llama", "mistral", "qwen2", "qwen3")
"""Architectures whose shared prompts were compared with brute force."""


_MOVING_ROPES = {"dynamic", "longrope"}


def runtime_for(model: PreTrainedModel) -> Runtime:
    """The fastest runtime that an architecture supports; says so when it is the slow one.

    Raises:
        ModelError: The longest prompt of a batch would change the positions of the others.
    """
    config = model.config
    if config.model_type in IMAGE_MODELS:  # what is searched is the model of text inside
        config = config.get_text_config()
    architecture = config.model_type
    moving = _MOVING_ROPES.intersection(_rope_types(config))
    if moving:
        raise ModelError(
            f"{model.config.name_or_path or architecture}: with the rope type '{moving.pop()}' the "
            "longest prompt of a batch changes the others' scores; use yarn, linear or default"
        )
    if architecture in SUPPORTED:
        return TransformersRuntime(model)
    logging.getLogger(__name__).warning(
        "beams of the architecture '%s' cannot share their prompt: each step reads it again",
        architecture,
    )
    return RereadRuntime(model)


def _rope_types(config: PreTrainedConfig) -> set[str]:
    """How a model turns positions into angles, for each kind of layer."""
    parameters = getattr(config, "rope_parameters", None) or {}
    kinds = [kind for kind in parameters.values() if isinstance(kind, dict)] or [parameters]
    return {kind.get("rope_type", "default") for kind in kinds}
