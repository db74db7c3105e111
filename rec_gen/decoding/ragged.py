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


def group_max(values: torch.Tensor, group: torch.Tensor, groups: int) -> torch.Tensor:
    """The largest value of each group, [groups]; -inf for a group without any."""
    return values.new_full((groups,), -torch.inf).scatter_reduce_(0, group, values, "amax")


def group_logsumexp(values: torch.Tensor, group: torch.Tensor, groups: int) -> torch.Tensor:
    """The log-sum-exp of the values of each group, [groups]."""
    top = group_max(values, group, groups)
    sums = values.new_zeros(groups).index_add_(0, group, (values - top[group]).exp())
    return top + sums.log()
