"""Self-attention: what the decoder sees of the texts so far, by slot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

AttendText = Callable[[int, Tensor], Tensor]
"""A layer and new tokens' queries, scaled, keys and values, shape = (n_sequences, n_tokens, 3, n_heads, head_dim),
to what each token attends to of itself and all before it, shape = (n_sequences, n_tokens, n_heads, head_dim).
The keys and values are kept for the tokens to come."""


class Texts(Protocol):
    """The keys and values of each slot's tokens."""

    def look(self, slots: Sequence[int], *, begins: Sequence[int], n_tokens: int) -> AttendText:
        """Return what attends from equally many new tokens of each slot.

        slots: in ascending order. begins: how many tokens each has already.
        """
        ...

    def copy(self, sources: Mapping[int, int], *, n_tokens: int) -> None:
        """Have slots hold what other slots hold, up to so many tokens.

        sources: by the slots that are written to. They may change places.
        """
        ...

    def free(self, slot: int) -> None:
        """Leave nothing of a slot's text behind for its next owner, and give back what it took."""
        ...
