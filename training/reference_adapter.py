"""The adapter named `ref`, TRL's copy of an adapter as it was before a preference trainer."""

from typing import TYPE_CHECKING

from training.setup import show_head_bias

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def unfreeze_adapter(model: "PreTrainedModel") -> None:
    """Make a loaded adapter trainable; a whole model is as it is."""
    if hasattr(model, "peft_config"):
        model.set_adapter("default")
        show_head_bias(model)


def complete_reference(model: "PreTrainedModel") -> None:
    """Copy the trained tokens to the reference, which TRL fills with LoRA's matrices only.

    TRL looks for `.default.` inside of parameter names; those of tokens end with `.default`.
    """
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if name.endswith(".default"):
            parameters[f"{name.removesuffix('default')}ref"].data.copy_(parameter.data)


def drop_reference(model: "PreTrainedModel") -> None:
    """Leave only the trained adapter, as a bundle wants it."""
    if "ref" in getattr(model, "peft_config", {}):
        model.delete_adapter("ref")
