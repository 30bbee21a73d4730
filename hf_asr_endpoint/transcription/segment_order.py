"""The segments of chunks that are decoded side by side, in the order of the recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hf_asr_endpoint.types import Segment


class InOrder:
    """Restores the order of segments: those of a chunk pass once all chunks before it are done."""

    def __init__(self) -> None:
        self._current = 0  # the first chunk that is not done
        self._held: dict[int, list[Segment]] = {}  # of later chunks
        self._done: set[int] = set()

    def push(self, index: int, segments: Iterable[Segment], *, is_done: bool) -> Iterator[Segment]:
        """Take a chunk's next segments; yield all that can pass now."""
        if is_done:
            self._done.add(index)
        if index != self._current:
            self._held.setdefault(index, []).extend(segments)
            return
        yield from segments
        while self._current in self._done:
            self._done.remove(self._current)
            self._current += 1
            yield from self._held.pop(self._current, ())
