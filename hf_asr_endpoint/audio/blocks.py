"""A recording whose bytes are in another process: what is told of it, and a file that fetches its blocks.

The bytes go as they came, encoded: they are a tenth of the samples, the engine decodes while it transcribes, and
no process holds more of them than a block. How a block travels is its carrier's.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np

from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.audio.source import (
    AudioSource,
    EncodedAudio,
    ReadingOrder,
    SampledAudio,
    WaveformReader,
    open_waveform,
)
from hf_asr_endpoint.errors import EngineLost

BLOCK_BYTES = 2**20

Fetch = Callable[[int], Any]
"""Returns the block with an index, from 0, as a buffer of BLOCK_BYTES; the last one is shorter. Blocks. Raises
BlockLost."""


class BlockLost(Exception):
    """A block cannot be had any more; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAudio:
    """What is told of a recording. samples: the shape of float32 samples; None for encoded bytes.

    sample_rate: of samples, in Hz. pcm: the format of bytes without a header.
    """

    n_bytes: int
    samples: tuple[int, ...] | None
    sample_rate: int | None
    pcm: PcmFormat | None
    max_audio_s: float
    audio_track: int | None


class BlockReader:
    """A recording as its sender has it: reads the blocks that the other side fetches. Blocks while it reads."""

    def __init__(self, order: ReadingOrder) -> None:
        """The source's file stays open, and is read from here alone. Raises ValueError if it is closed."""
        source = order.source
        if isinstance(source, SampledAudio):
            samples = np.ascontiguousarray(source.samples, np.float32)
            shape, sample_rate, pcm = samples.shape, source.sample_rate, None
            self._file: BinaryIO = io.BytesIO(samples.data)
        else:
            shape, sample_rate, pcm = None, None, source.pcm
            self._file = source.file
        self._file.seek(0, io.SEEK_END)
        self.audio = RemoteAudio(
            n_bytes=self._file.tell(),
            samples=shape,
            sample_rate=sample_rate,
            pcm=pcm,
            max_audio_s=order.max_audio_s,
            audio_track=order.audio_track,
        )

    @property
    def n_blocks(self) -> int:
        return -(-self.audio.n_bytes // BLOCK_BYTES)

    def read(self, index: int) -> bytes:
        """Return a block. Raises OSError, and ValueError once the file is closed."""
        self._file.seek(index * BLOCK_BYTES)
        return self._file.read(BLOCK_BYTES)


class ReceivedAudio:
    """A recording that another process has. reader: owns it, as any reader does."""

    def __init__(self, audio: RemoteAudio, fetch: Fetch) -> None:
        """Raises what `open_waveform` raises, and EngineLost if samples were lost.

        Blocks for samples; encoded bytes are fetched as they are read.
        """
        self._file = BlockFile(fetch, audio.n_bytes)
        source: AudioSource
        if audio.samples is None or audio.sample_rate is None:
            source = EncodedAudio(file=cast(BinaryIO, io.BufferedReader(self._file)), pcm=audio.pcm)
        else:
            samples = np.empty(audio.samples, np.float32)
            with io.BufferedReader(self._file) as file:
                file.readinto(samples.reshape(-1).view(np.uint8).data)
            self.check()
            source = SampledAudio(samples=samples, sample_rate=audio.sample_rate)
        self.reader: WaveformReader = open_waveform(
            source, max_audio_s=audio.max_audio_s, audio_track=audio.audio_track
        )

    def check(self) -> None:
        """Raise EngineLost if bytes were lost.

        A decoder takes their absence for the end of the file, or for a file that is broken.
        """
        if (loss := self._file.loss) is not None:
            raise EngineLost(f"the audio was lost on its way to the engine: {loss}") from loss


class BlockFile(io.RawIOBase):
    """Blocks as a file that can be read from any position.

    It ends where a block was lost, because some decoders can be told no errors; `loss` says why.
    """

    def __init__(self, fetch: Fetch, n_bytes: int) -> None:
        self._fetch = fetch
        self._n_bytes = n_bytes
        self._position = 0
        self._held: tuple[int, memoryview] | None = None  # The last block that was read; others can be moved away.
        self.loss: BlockLost | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._n_bytes}
        position = bases[whence] + offset
        if position < 0:
            raise ValueError(f"the position is {position}; allowed: from 0")
        self._position = position
        return position

    def readinto(self, buffer: Any, /) -> int:
        index, offset = divmod(self._position, BLOCK_BYTES)
        if self._position >= self._n_bytes or self.loss is not None:
            return 0
        try:
            piece = self._block(index)[offset : offset + len(buffer)]
        except BlockLost as exc:
            self.loss = exc
            return 0
        memoryview(buffer).cast("B")[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        self._held = None
        super().close()

    def _block(self, index: int) -> memoryview:
        if self._held is None or self._held[0] != index:
            self._held = index, memoryview(self._fetch(index))
        return self._held[1]
