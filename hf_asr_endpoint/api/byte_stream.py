"""Bytes that arrive in blocks, for parsers that are written as generators.

Such a parser reads `data` from `position` on, and waits for the next block with `yield from stream.more()`.
This module does not know what the bytes mean.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""A parser: each `yield` waits for the next block, or for the end of the stream; T is what it returns."""


class UnexpectedEnd(Exception):
    """The stream ended where the parser needed another byte."""


class ByteStream:
    """The bytes that have arrived and have not been consumed: `data` from `position` on."""

    def __init__(self) -> None:
        self.data = b""
        self.position = 0
        self._is_complete = False

    def append(self, block: bytes) -> None:
        """Add a block, and drop what has been consumed."""
        self.data = self.data[self.position :] + block
        self.position = 0

    def complete(self) -> None:
        """Say that no further block follows."""
        self._is_complete = True

    @property
    def n_bytes(self) -> int:
        """Return how many bytes wait to be consumed."""
        return len(self.data) - self.position

    def wait(self) -> Steps[bool]:
        """Wait for the next block; return False if the stream has ended."""
        if self._is_complete:
            return False
        yield
        return True

    def more(self) -> Steps[None]:
        """Wait for the next block. Raises UnexpectedEnd if the stream has ended."""
        if not (yield from self.wait()):
            raise UnexpectedEnd
