"""Puts back in order what comes out of order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class InOrder(Generic[T]):
    """Items of sources 0, 1, 2 … A source's items pass once all sources before it are done."""

    def __init__(self) -> None:
        self._current = 0  # the first source that is not done
        self._held: dict[int, list[T]] = {}  # of later sources
        self._done: set[int] = set()

    def push(self, source: int, items: Iterable[T], *, is_done: bool) -> Iterator[T]:
        """Take a source's next items; yield what can pass now, those of later sources among it."""
        if is_done:
            self._done.add(source)
        if source != self._current:
            self._held.setdefault(source, []).extend(items)
            return
        yield from items
        while self._current in self._done:
            self._done.remove(self._current)
            self._current += 1
            yield from self._held.pop(self._current, ())
