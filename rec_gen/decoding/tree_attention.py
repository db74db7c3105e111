"""Attention over a tree of tokens, as a function registered with transformers.

Tokens of all requests are packed in one row without padding, and each block of them attends to the
slots that its tokens may see, taken out of one store that all beams and requests share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from rec_gen.decoding.token_tree import Block, Ints

NAME = "rec_gen_tree"
CELLS = 1 << 16
"""Pairs of a token and a slot that are scored at once; more leave the processor's cache."""


@dataclass(frozen=True)
class Mask:
    """What is added to scores so that no token sees what it may not.

    Attributes:
        first: All tokens see all columns before this one; a long prompt needs no mask for them.
        added: [blocks, 1, tokens, columns from the first].
    """

    first: int
    added: torch.Tensor


@dataclass(frozen=True)
class View:
    """What the tokens of some blocks see, on the model's device; blocks are padded to one size.

    Attributes:
        rows: The tokens of the reading, block after block.
        padded: int64 [blocks * tokens], the same with padding; None where there is none.
        real: int64 [tokens], where the tokens stand in `padded`.
        columns: int64 [blocks, columns], the slots that some of them see.
        masks: By the width of the attention window; None looks all the way back.
    """

    rows: slice
    padded: torch.Tensor | None
    real: torch.Tensor
    columns: torch.Tensor
    masks: dict[int | None, Mask]


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
    views, group = [], list(blocks[:1])
    for block in blocks[1:]:
        tallest, widest = np.max([each.seen.shape for each in (*group, block)], axis=0)
        if (len(group) + 1) * tallest * widest > CELLS:
            views.append(_view(group, depths, first, window, like))
            group = []
        group.append(block)
    return [*views, _view(group, depths, first, window, like)]


def _view(
    group: Sequence[Block], depths: Ints, first: int, window: int | None, like: torch.Tensor
) -> View:
    tallest, widest = np.max([block.seen.shape for block in group], axis=0)
    rows = np.zeros((len(group), tallest), np.int64)
    columns = np.zeros((len(group), widest), np.int64)
    seen = np.zeros((len(group), tallest, widest), np.bool_)
    for place, block in enumerate(group):
        height, width = block.seen.shape
        rows[place, :height] = np.arange(block.rows.start, block.rows.stop)
        columns[place, :width] = block.columns
        seen[place, :height, :width] = block.seen
    real = np.flatnonzero(seen.any(axis=2))
    near = depths[first + rows][:, :, None] - depths[columns][:, None] < (window or 0)
    masks = {
        width: _mask(sight, real, like)
        for width, sight in ({window: seen & near} | {None: seen}).items()
    }
    return View(
        slice(group[0].rows.start, group[-1].rows.stop),
        torch.from_numpy(rows.ravel()).to(like.device) if len(real) < rows.size else None,
        torch.from_numpy(real).to(like.device),
        torch.from_numpy(columns).to(like.device),
        masks,
    )


def _mask(seen: npt.NDArray[np.bool_], real: Ints, like: torch.Tensor) -> Mask:
    seen_by_all = seen.reshape(-1, seen.shape[2])[real].all(axis=0)
    first = int(np.append(seen_by_all, False).argmin())
    hidden = torch.from_numpy(~seen[:, None, :, first:]).to(like.device)
    lowest = torch.finfo(like.dtype).min  # and not -inf, so that padding gives no NaN
    return Mask(first, like.new_zeros(hidden.shape).masked_fill_(hidden, lowest))


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
        blocks = len(view.columns)
        keys, values = (
            store.index_select(1, view.columns.flatten()).view(len(key), blocks, -1, width)
            for store in (key, value)
        )
        asked = queries[:, :, view.rows]
        if view.padded is not None:
            asked = queries.index_select(2, view.padded)
        asked = asked.view(len(key), heads // len(key), blocks, -1, width).transpose(1, 2)
        scores = (asked.flatten(2, 3) @ keys.mT).view(*asked.shape[:4], -1)
        mask = view.masks[sliding_window]
        scores[..., mask.first :].add_(mask.added)
        seen = (scores.softmax(-1).flatten(2, 3) @ values).view(asked.shape)
        seen = seen.permute(1, 3, 0, 2, 4).reshape(-1, heads, width)
        output[view.rows] = seen if view.padded is None else seen[view.real]
    return output[None], None


AttentionInterface.register(NAME, tree_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
