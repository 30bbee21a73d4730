"""Cross-attention: what the decoder sees of the encoded windows, by slot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from torch import Tensor

Attend = Callable[[int, Tensor], Tensor]
"""A layer and its queries, scaled, shape = (n_sequences, n_tokens, n_heads, head_dim), to what they attend to."""


class Windows(Protocol):
    """The windows' keys and values, computed once for a window. The slots of one sequence share theirs."""

    @property
    def slots(self) -> Iterable[int]:
        """Those that have a window."""
        ...

    def place(self, slot: int, n_positions: int) -> None:
        """Make room for a slot's window. Slots that shared the one it had lose it."""
        ...

    def share(self, slot: int, others: Iterable[int]) -> None:
        """Have other slots see the window of a slot."""
        ...

    def of(self, slot: int) -> int | tuple[int, int]:
        """Return what tells a slot's window from others."""
        ...

    def free(self, slot: int) -> None:
        """Forget a slot's window, if it has one."""
        ...

    def write(self, slot: int, layer: int, keys_and_values: Tensor) -> None:
        """Store a layer's keys, then values, shape = (n_positions, 2 × n_heads × head_dim)."""
        ...

    def keys(self, slot: int, layer: int) -> Tensor:
        """Return a layer's keys, float32, shape = (n_heads, n_positions, head_dim)."""
        ...

    def look(self, slots: Sequence[int], *, n_tokens: int) -> Attend:
        """Return what attends from equally many tokens of each slot, slots being in ascending order."""
        ...
