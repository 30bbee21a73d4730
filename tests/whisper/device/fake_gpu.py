"""Fake tensors on a GPU that is not there, for a build of torch without CUDA.

Python's indexing, `~`, `copy_` and `torch.where` with numbers ask for the tensor's device, which such a build
lacks. The operators that they consist of do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class ByOperators(TorchFunctionMode):
    """Replaces `x[…]`, `x[…] = y`, `~x`, `copy_` and `torch.where` by operators."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__getitem__:
            x, tensors = _view(args[0], args[1])
            return x if not tensors else torch.ops.aten.index(x, tensors)
        if func is Tensor.__setitem__:
            x, tensors = _view(args[0], args[1])
            value = args[2] if isinstance(args[2], Tensor) else torch.ops.aten.full([], args[2], device=x.device)
            if tensors:
                torch.ops.aten.index_put_(x, tensors, value)
            else:
                torch.ops.aten.copy_(x, value)
            return None
        if func is Tensor.__invert__:
            return torch.ops.aten.bitwise_not(args[0])
        if func is Tensor.copy_:
            return torch.ops.aten.copy_(*args, **(kwargs or {}))
        if func is torch.where:
            condition, *choices = args
            numbers = [each if isinstance(each, Tensor) else torch.tensor(each) for each in choices]
            return torch.ops.aten.where(condition, *numbers)
        return func(*args, **(kwargs or {}))


def _view(x: Tensor, index: Any) -> tuple[Tensor, list[Tensor | None]]:
    """Return the view that numbers, slices and None select, and the tensors that index its dimensions."""
    items = index if isinstance(index, tuple) else (index,)
    n_given = sum(item is not None and item is not Ellipsis for item in items)
    tensors: list[Tensor | None] = []
    dim = 0
    for item in items:
        if isinstance(item, list):
            item = torch.tensor(item, device=x.device)
        if item is None:
            x = torch.ops.aten.unsqueeze(x, dim)
            dim += 1
        elif item is Ellipsis:
            dim += x.dim() - dim - (n_given - _n_before(items, item))
        elif isinstance(item, slice):
            if item != slice(None):
                x = torch.ops.aten.slice(x, dim, item.start, item.stop, item.step or 1)
            dim += 1
        elif isinstance(item, Tensor):
            tensors += [None] * (dim - len(tensors))
            tensors.append(item)
            dim += max(1, item.dim() if item.dtype == torch.bool else 1)
        else:
            x = torch.ops.aten.select(x, dim, item)
    return x, tensors


def _n_before(items: Sequence[Any], item: Any) -> int:
    """Return the number of dimensions that are indexed before an item."""
    place = next(place for place, other in enumerate(items) if other is item)
    return sum(other is not None for other in items[:place])
