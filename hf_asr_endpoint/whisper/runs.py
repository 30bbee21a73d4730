"""Rows of a batch that lie side by side in a cache are computed together; picking single ones would copy them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Rows = slice | list[int]
"""Rows of a batch: a range where they follow one another, which is a view and costs nothing."""


def neighbours(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges, begin and end, in which numbers follow one another without a gap."""
    begin = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield begin, index
            begin = index
