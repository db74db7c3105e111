"""Groups of different sizes laid end to end."""

import torch


def ragged(sizes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each member of all groups, its group and its place there; int64 [members] each.

    Args:
        sizes: int64 [groups].
    """
    group = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)
    starts = sizes.cumsum(0) - sizes
    return group, torch.arange(len(group), device=sizes.device) - starts[group]
