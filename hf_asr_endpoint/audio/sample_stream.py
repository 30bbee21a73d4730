"""Samples without a header that arrive in pieces of any length: to blocks of Whisper's input.

Knows PCM of 8 to 32 bits and G.711. Knows no speech and no turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.audio.headerless import Encoding, PcmFormat
from hf_asr_endpoint.audio.resample import WaveformConverter
from hf_asr_endpoint.types import Waveform

FULL_SCALE = np.float32(1 / 32_768)
FULL_SCALE_32 = np.float32(2**-31)


class SampleStream:
    """Decodes one stream of samples. A sample that is cut in two is completed by the next piece."""

    def __init__(self, pcm: PcmFormat) -> None:
        """pcm: samples are little-endian unless it says otherwise. Raises InvalidAudio for its rate."""
        self._pcm = pcm
        self._decode = _DECODERS[pcm.encoding]
        self._left = b""
        self._converter = self._new_converter()

    @property
    def bytes_per_s(self) -> int:
        return self._pcm.bytes_per_s

    def push(self, data: bytes) -> Waveform:
        """Decode bytes. The last samples are returned by a later call."""
        data = self._left + data
        n_bytes = len(data) - len(data) % self._pcm.frame_bytes
        self._left = data[n_bytes:]
        samples = self._decode(data[:n_bytes], self._pcm)
        return self._converter.push(samples.reshape(-1, self._pcm.n_channels))

    def finish(self) -> Waveform:
        """Return the samples that the filter still holds, drop an incomplete one, and begin anew."""
        self._left = b""
        rest = self._converter.flush()
        self._converter = self._new_converter()
        return rest

    def _new_converter(self) -> WaveformConverter:
        return WaveformConverter(self._pcm.sample_rate, self._pcm.n_channels)


def _linear(data: bytes, pcm: PcmFormat) -> npt.NDArray[np.float32]:
    order = ">" if pcm.byte_order == "BIG" else "<"
    samples: npt.NDArray[np.float32] = np.frombuffer(data, f"{order}i2").astype(np.float32) * FULL_SCALE
    return samples


def _unsigned(data: bytes, _: PcmFormat) -> npt.NDArray[np.float32]:
    """As in WAV: silence is 128."""
    samples: npt.NDArray[np.float32] = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) * 256 * FULL_SCALE
    return samples


def _linear_24(data: bytes, pcm: PcmFormat) -> npt.NDArray[np.float32]:
    """Make each sample the upper three bytes of one of 32 bits."""
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    first = 0 if pcm.byte_order == "BIG" else 1
    wide[:, first : first + 3] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return _linear_32(wide.tobytes(), pcm)


def _linear_32(data: bytes, pcm: PcmFormat) -> npt.NDArray[np.float32]:
    order = ">" if pcm.byte_order == "BIG" else "<"
    samples: npt.NDArray[np.float32] = np.frombuffer(data, f"{order}i4").astype(np.float32) * FULL_SCALE_32
    return samples


def _ulaw_table() -> npt.NDArray[np.float32]:
    """Return the sample of each code (ITU-T G.711, table 2a)."""
    codes = ~np.arange(256, dtype=np.uint8)
    exponents, mantissas = (codes >> 4 & 7).astype(np.int32), (codes & 15).astype(np.int32)
    magnitudes = ((mantissas << 3) + 132 << exponents) - 132
    return np.where(codes & 128, -magnitudes, magnitudes).astype(np.float32) * FULL_SCALE


def _alaw_table() -> npt.NDArray[np.float32]:
    """Return the sample of each code (ITU-T G.711, table 1a)."""
    codes = np.arange(256, dtype=np.uint8) ^ 0x55
    exponents, mantissas = (codes >> 4 & 7).astype(np.int32), (codes & 15).astype(np.int32)
    steps = np.where(exponents > 0, (mantissas << 4) + 264 << np.maximum(exponents - 1, 0), (mantissas << 4) + 8)
    return np.where(codes & 128, steps, -steps).astype(np.float32) * FULL_SCALE


_ULAW, _ALAW = _ulaw_table(), _alaw_table()

_DECODERS: Mapping[Encoding, Callable[[bytes, PcmFormat], npt.NDArray[np.float32]]] = {
    "PCM_U8": _unsigned,
    "PCM_16": _linear,
    "PCM_24": _linear_24,
    "PCM_32": _linear_32,
    "ULAW": lambda data, _: _ULAW[np.frombuffer(data, np.uint8)],
    "ALAW": lambda data, _: _ALAW[np.frombuffer(data, np.uint8)],
}
