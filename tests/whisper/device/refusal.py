"""A mode that refuses what makes the host wait for the device, for tests under fake tensors without a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_ATEN = torch.ops.aten
SYNCHRONIZING = {
    _ATEN._local_scalar_dense,
    _ATEN.nonzero,
    _ATEN.nonzero_static,
    _ATEN.masked_select,
    _ATEN._unique2,
    _ATEN.equal,
    _ATEN.is_nonzero,
    _ATEN.repeat_interleave,
}
"""Operators whose result, or its shape, depends on data."""
INDEXING = {_ATEN.index, _ATEN.index_put, _ATEN.index_put_, _ATEN._index_put_impl_}


class Synchronizes(AssertionError):
    """An operator would make the host wait for the device, or copies between them."""


class RefuseSynchronization(TorchDispatchMode):
    """Raises Synchronizes."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        if packet in SYNCHRONIZING:
            raise Synchronizes(f"{func} makes the host wait")
        if packet in INDEXING and any(_is_mask(leaf) for leaf in tree_leaves(args[1])):
            raise Synchronizes(f"{func} with a mask makes the host wait")
        found = func(*args, **kwargs)
        devices = {leaf.device.type for leaf in tree_leaves((args, kwargs, found)) if _is_array(leaf)}
        if len(devices) > 1:
            raise Synchronizes(f"{func} copies between {' and '.join(sorted(devices))}")
        return found


def _is_mask(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.dtype in (torch.bool, torch.uint8)


def _is_array(leaf: Any) -> bool:
    """A number that torch has wrapped as a tensor of no dimensions travels with the launch."""
    return isinstance(leaf, Tensor) and leaf.dim() > 0
