"""Attention over a tree of tokens, as a function registered with transformers.

Tokens of all requests are packed in one row without padding, and each block of them attends to the
slots that its tokens may see, taken out of one store that all beams and requests share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from rec_gen.decoding.token_tree import Block, Ints

NAME = "rec_gen_tree"


@dataclass(frozen=True)
class View:
    """What the tokens of a block see, on the model's device.

    Attributes:
        rows: Which tokens of the reading.
        columns: int64 [columns], the slots that some of them see.
        masks: [tokens, columns], what is added to scores, by the width of the attention window;
            None looks all the way back.
    """

    rows: slice
    columns: torch.Tensor
    masks: dict[int | None, torch.Tensor]


def views_of(
    blocks: Sequence[Block], depths: Ints, first: int, window: int | None, like: torch.Tensor
) -> list[View]:
    """Put blocks beside a tensor, whose type and device their masks get.

    Args:
        blocks: What is read.
        depths: The depth of each slot.
        first: The first slot of the reading.
        window: How far back layers with a window look.
        like: A tensor of the model.
    """
    views = []
    for block in blocks:
        own = depths[first:][block.rows]
        near = own[:, None] - depths[block.columns] < (window or 0)
        masks = {}
        for width, seen in ((None, block.seen), (window, block.seen & near)):
            if width not in masks:
                mask = like.new_zeros(seen.shape)
                hidden = torch.from_numpy(~seen).to(like.device)
                masks[width] = mask.masked_fill_(hidden, -torch.inf)
        views.append(View(block.rows, torch.from_numpy(block.columns).to(like.device), masks))
    return views


def tree_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    views: list[View] | None = None,
    scaling: float = 1.0,
    sliding_window: int | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Attend as a tree when there are views, and as ever when there are none.

    Args:
        module: The attention layer.
        query: [1, heads, tokens, width].
        key: [key heads, slots, width], the whole store.
        value: [key heads, slots, width], the whole store.
        attention_mask: Without views, the mask; with them, nothing.
        views: What the tokens see.
        scaling: Of the scores.
        sliding_window: How far back the layer looks; None is all the way.
        kwargs: Passed on where there are no views.

    Returns:
        [1, tokens, heads, width], and no weights.
    """
    if views is None:
        usual: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling,
            sliding_window=sliding_window, **kwargs,
        )  # fmt: skip
        return usual
    _, heads, tokens, width = query.shape
    queries = (query[0] * scaling).view(len(key), -1, tokens, width)
    output = query.new_empty(tokens, heads, width)
    for view in views:
        keys, values = key.index_select(1, view.columns), value.index_select(1, view.columns)
        asked = queries[:, :, view.rows]
        scores = (asked.flatten(1, 2) @ keys.transpose(1, 2)).view(*asked.shape[:3], -1)
        weights = scores.add_(view.masks[sliding_window]).softmax(-1)
        seen = (weights.flatten(1, 2) @ values).view(asked.shape)
        output[view.rows] = seen.flatten(0, 1).transpose(0, 1)
    return output[None], None


AttentionInterface.register(NAME, tree_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
