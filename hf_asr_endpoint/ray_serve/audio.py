"""A recording on its way to an engine: its bytes in Ray's object store, in blocks that the engine reads as a file.

The bytes go as they came, encoded: they are a tenth of the samples, the engine decodes while it transcribes, and
no process holds more of them than a block. Ray moves blocks that do not fit into memory to the disk.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
import ray
from ray.exceptions import RayError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SentAudio:
    """A recording in the object store, for as long as its sender holds this.

    blocks: uint8 arrays of BLOCK_BYTES, the last one shorter; or one float32 array of samples. sample_rate: of
    samples, in Hz; None for encoded bytes. pcm: the format of bytes without a header.
    """

    blocks: tuple[Any, ...]
    n_bytes: int
    sample_rate: int | None
    pcm: PcmFormat | None
    max_audio_s: float
    audio_track: int | None


def send_audio(order: ReadingOrder) -> SentAudio:
    """Copy a recording into the object store. Blocks. Its file stays open.

    Raises EngineLost if the store does not take it, for example because it is full.
    """
    source = order.source
    try:
        if isinstance(source, SampledAudio):
            blocks, n_bytes = (ray.put(source.samples),), source.samples.nbytes
            sample_rate, pcm = source.sample_rate, None
        else:
            source.file.seek(0)
            sizes_and_blocks = list(_put_blocks(source.file))
            blocks = tuple(block for _, block in sizes_and_blocks)
            n_bytes, sample_rate, pcm = sum(size for size, _ in sizes_and_blocks), None, source.pcm
    except RayError as exc:
        raise EngineLost(f"the audio cannot be sent to an engine: {exc}") from exc
    return SentAudio(
        blocks=blocks,
        n_bytes=n_bytes,
        sample_rate=sample_rate,
        pcm=pcm,
        max_audio_s=order.max_audio_s,
        audio_track=order.audio_track,
    )


class ReceivedAudio:
    """A recording that was sent. reader: owns it, as any reader does."""

    def __init__(self, sent: SentAudio) -> None:
        """Raises what `open_waveform` raises, and EngineLost if samples were lost.

        Blocks for samples; encoded bytes are fetched as they are read.
        """
        self._file: BlockFile | None = None
        source: AudioSource
        if sent.sample_rate is not None:
            try:
                source = SampledAudio(samples=ray.get(sent.blocks[0]), sample_rate=sent.sample_rate)
            except RayError as exc:
                raise _lost(exc) from exc
        else:
            self._file = BlockFile(sent.blocks, sent.n_bytes)
            source = EncodedAudio(file=cast(BinaryIO, io.BufferedReader(self._file)), pcm=sent.pcm)
        self.reader: WaveformReader = open_waveform(
            source, max_audio_s=sent.max_audio_s, audio_track=sent.audio_track
        )

    def check(self) -> None:
        """Raise EngineLost if bytes were lost.

        A decoder takes their absence for the end of the file, or for a file that is broken.
        """
        if self._file is not None and self._file.loss is not None:
            raise _lost(self._file.loss) from self._file.loss


class BlockFile(io.RawIOBase):
    """Blocks in the object store as a file that can be read from any position.

    It ends where a block was lost, because some decoders can be told no errors; `loss` says why.
    """

    def __init__(self, blocks: Sequence[Any], n_bytes: int) -> None:
        self._blocks = blocks
        self._n_bytes = n_bytes
        self._position = 0
        self._held: tuple[int, memoryview] | None = None  # The last block that was read; others can be moved away.
        self.loss: RayError | None = None

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
        except RayError as exc:
            self.loss = exc
            return 0
        memoryview(buffer).cast("B")[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        self._held, self._blocks = None, ()
        super().close()

    def _block(self, index: int) -> memoryview:
        if self._held is None or self._held[0] != index:
            self._held = index, memoryview(ray.get(self._blocks[index]))
        return self._held[1]


def _lost(error: RayError) -> EngineLost:
    return EngineLost(f"the audio was lost on its way to the engine: {error}")


def _put_blocks(file: BinaryIO) -> Any:
    """Yield each block's size and its reference. Arrays, unlike bytes, are read where they lie."""
    while block := file.read(BLOCK_BYTES):
        yield len(block), ray.put(np.frombuffer(block, np.uint8))
