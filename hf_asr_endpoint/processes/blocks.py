"""Blocks of audio between processes: one asks for a block of a work's audio, and waits for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pickle import PickleBuffer

from hf_asr_endpoint.audio.blocks import BlockLost


@dataclass(frozen=True, slots=True)
class Block:
    """The block of audio that a work wants. data: None if it is lost, and `loss` says why."""

    data: bytes | memoryview | PickleBuffer | None
    loss: str = ""

    def get(self) -> bytes | memoryview | PickleBuffer:
        """Return the data. Raises BlockLost."""
        if self.data is None:
            raise BlockLost(self.loss)
        return self.data


@dataclass(frozen=True, slots=True)
class Wanted:
    """A work wants a block of its audio; one at a time."""

    index: int


class Fetches:
    """Blocks that works wait for, each in the one thread that reads its audio."""

    def __init__(self, ask: Callable[[int, Wanted], None]) -> None:
        """ask: tells the other process which block the work with a number wants."""
        self._ask = ask
        self._awaited: dict[int, Future[Block]] = {}

    def fetch(self, number: int, index: int) -> bytes | memoryview | PickleBuffer:
        """Return a block of a work's audio. Blocks. Raises BlockLost."""
        block: Future[Block] = Future()
        self._awaited[number] = block
        self._ask(number, Wanted(index))
        return block.result().get()

    def take(self, number: int, block: Block) -> None:
        """Give a block to the thread that waits for it."""
        self._awaited.pop(number).set_result(block)
