"""The port to an accelerator: streams, events, graphs, copies from and to the host, memory, and errors.

Work is launched and runs later, in one of two lanes, each in order. Nothing here but `Event.wait`, `synchronize`
and `is_lost` makes the host wait.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

import torch
from torch import Tensor

Lane = Literal["decode", "encode"]
"""Decoding comes first where both have work: a step is short, and all running texts wait for it."""


class Event(Protocol):
    """A place in a lane."""

    def is_done(self) -> bool:
        """Return whether all work before it has been done."""
        ...

    def wait(self) -> None:
        """Let the host wait until all work before it has been done."""
        ...


class Accelerator(Protocol):
    """What the model asks of its device. All calls come from one thread, those of other models from others."""

    device: torch.device
    has_ragged_attention: bool
    """Whether flash attention over windows of unequal length runs, in 16 bits."""

    def lane(self, lane: Lane) -> AbstractContextManager[object]:
        """Launch what follows in a lane."""
        ...

    def mark(self) -> Event:
        """Return the present place in the current lane."""
        ...

    def after(self, event: Event) -> None:
        """Let what follows in the current lane begin after an event in another one."""
        ...

    def upload(self, tensor: Tensor) -> Tensor:
        """Return a copy of a tensor of the host, which may change afterwards."""
        ...

    def host_buffer(self, source: Tensor) -> Tensor:
        """Return memory of the host, shaped like a tensor of the device, for `download`."""
        ...

    def download(self, source: Tensor, target: Tensor) -> Event:
        """Copy to a host buffer, which holds the numbers once the event is done."""
        ...

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return a function that launches the same work again, on the same tensors, faster. Runs the work.

        The host must not wait in it. Raises torch.OutOfMemoryError.
        """
        ...

    def synchronize(self) -> None:
        """Wait for all lanes. Raises what has gone wrong in them."""
        ...

    def free_bytes(self) -> int:
        """Return the memory that new tensors can have."""
        ...

    def release_memory(self) -> None:
        """Give back memory that no tensor uses, after an allocation has failed."""
        ...

    def is_lost(self) -> bool:
        """Return whether an error has made the device useless to this process, as an illegal access does."""
        ...


class _Done:
    def is_done(self) -> bool:
        return True

    def wait(self) -> None:
        pass


class HostAccelerator:
    """The CPU as an accelerator, for tests: every call does its work at once."""

    has_ragged_attention = False

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def lane(self, lane: Lane) -> AbstractContextManager[object]:
        return nullcontext()

    def mark(self) -> Event:
        return _Done()

    def after(self, event: Event) -> None:
        assert event.is_done()

    def upload(self, tensor: Tensor) -> Tensor:
        return tensor.clone()

    def host_buffer(self, source: Tensor) -> Tensor:
        return torch.zeros_like(source)

    def download(self, source: Tensor, target: Tensor) -> Event:
        target.copy_(source)
        return _Done()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        return work

    def synchronize(self) -> None:
        pass

    def free_bytes(self) -> int:
        return 1 << 34

    def release_memory(self) -> None:
        pass

    def is_lost(self) -> bool:
        return False
