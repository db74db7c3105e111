"""Groups of different sizes laid end to end."""

import torch


def ragged(sizes: torch.Tensor, first: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each member of all groups, its group and its place; [members] each.

    Args:
        sizes: int32 or int64 [groups], how many members each has.
        first: The same type [groups], the place of the first one; the others follow it.
    """
    group = torch.repeat_interleave(sizes)
    shift = first - (sizes.cumsum(0, dtype=sizes.dtype) - sizes)
    members = torch.arange(len(group), dtype=sizes.dtype, device=sizes.device)
    return group, members + shift.index_select(0, group)


def group_max(values: torch.Tensor, group: torch.Tensor, groups: int) -> torch.Tensor:
    """The largest value of each group, [groups]; -inf for a group without any."""
    return values.new_full((groups,), -torch.inf).scatter_reduce_(0, group, values, "amax")


def group_kth(values: torch.Tensor, group: torch.Tensor, groups: int, k: int) -> torch.Tensor:
    """The k-th largest value of each group, [groups]; -inf for a group of fewer.

    Args:
        values: [members].
        group: int64 [members], each member's group, in order.
        groups: Their number.
        k: At least 1.
    """
    sizes = torch.bincount(group, minlength=groups)
    place = torch.arange(len(group), device=group.device) - (sizes.cumsum(0) - sizes)[group]
    table = values.new_full((groups, max(int(sizes.max()), k)), -torch.inf)
    table[group, place] = values
    return table.topk(k).values[:, -1]


def group_logsumexp(values: torch.Tensor, group: torch.Tensor, groups: int) -> torch.Tensor:
    """The log-sum-exp of the values of each group, [groups]."""
    top = group_max(values, group, groups)
    sums = values.new_zeros(groups).index_add_(0, group, (values - top[group]).exp())
    return top + sums.log()
