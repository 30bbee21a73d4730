"""Samples without a header: how to read them, and a header for those that are to be stored.

Knows no HTTP: `api/encoded_audio` makes a format of a media type.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

import numpy as np

from hf_asr_endpoint.audio.files import SeekableFile

ByteOrder = Literal["LITTLE", "BIG"]
Encoding = Literal["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW"]
"""libsndfile's names."""

SAMPLE_BYTES: Mapping[Encoding, int] = {
    "PCM_U8": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "ULAW": 1,
    "ALAW": 1,
}

_BLOCK_BYTES = 2**18
_MAX_BLOCKS = 16  # that are read to find the order of bytes: 2 minutes of 16 kHz

# The header of Sun's .au files: https://pubs.opengroup.org/external/auformat.html; "dns." is little-endian.
_AU_MAGIC: dict[ByteOrder, tuple[bytes, str]] = {"BIG": (b".snd", ">"), "LITTLE": (b"dns.", "<")}
_AU_ENCODINGS: dict[Encoding, int] = {"ULAW": 1, "PCM_16": 3, "PCM_24": 4, "PCM_32": 5, "ALAW": 27}
_AU_HEADER_BYTES = 24
_AU_LENGTH_UNKNOWN = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PcmFormat:
    """How to read samples without a header.

    byte_order: of samples of several bytes; None where 16-bit samples have to tell.
    """

    sample_rate: int
    n_channels: int = 1
    encoding: Encoding = "PCM_16"
    byte_order: ByteOrder | None = None

    @property
    def frame_bytes(self) -> int:
        """Of one sample in each channel."""
        return self.n_channels * SAMPLE_BYTES[self.encoding]

    @property
    def bytes_per_s(self) -> int:
        return self.sample_rate * self.frame_bytes


def find_byte_order(file: SeekableFile, *, n_channels: int) -> ByteOrder:
    """Return the order of bytes in which 16-bit samples change less from one to the next; little-endian in doubt.

    In the wrong order, the low byte becomes the high one: sound of any kind turns into loud noise. The file is at
    its beginning afterwards. Reads more than one block only where the first ones are silent.
    """
    file.seek(0)
    order: ByteOrder = "LITTLE"
    for _ in range(_MAX_BLOCKS):
        block = file.read(_BLOCK_BYTES)
        block = block[: len(block) // (2 * n_channels) * 2 * n_channels]
        changes = [
            np.abs(np.diff(np.frombuffer(block, dtype).reshape(-1, n_channels).astype(np.int32), axis=0)).sum()
            for dtype in ("<i2", ">i2")
        ]
        if changes[0] != changes[1] or not block:
            order = "BIG" if changes[1] < changes[0] else "LITTLE"
            break
    file.seek(0)
    return order


def with_byte_order(pcm: PcmFormat, file: SeekableFile) -> PcmFormat:
    """Return the format with its order of bytes, which the samples tell where it is not given."""
    if pcm.byte_order is not None or pcm.encoding != "PCM_16":
        return pcm
    return replace(pcm, byte_order=find_byte_order(file, n_channels=pcm.n_channels))


class WithAuHeader(io.RawIOBase):
    """A file of samples with a header before them, as a stream to be copied: a job's audio describes itself."""

    def __init__(self, file: BinaryIO, pcm: PcmFormat) -> None:
        """file: at its beginning. It is read when this one is. pcm: not PCM_U8, which the header cannot name."""
        super().__init__()
        self._file = file
        self._pcm = pcm
        self._left: bytes | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        left, self._left = self._header() if self._left is None else self._left, b""
        return left + self._file.read(size if size < 0 else max(0, size - len(left)))

    def _header(self) -> bytes:
        pcm = self._pcm
        magic, order = _AU_MAGIC[with_byte_order(pcm, self._file).byte_order or "BIG"]
        numbers = (
            _AU_HEADER_BYTES,
            _AU_LENGTH_UNKNOWN,
            _AU_ENCODINGS[pcm.encoding],
            pcm.sample_rate,
            pcm.n_channels,
        )
        return magic + struct.pack(f"{order}5I", *numbers)
