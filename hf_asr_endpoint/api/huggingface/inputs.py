"""`inputs` to audio: bytes, base64, or samples. Paths and URLs are refused, never opened."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.api.encoded_audio import ALLOWED, MAX_CHANNELS, parse_base64, shorten, take_bytes
from hf_asr_endpoint.audio.resample import MAX_SAMPLE_RATE
from hf_asr_endpoint.audio.source import AudioSource, SampledAudio
from hf_asr_endpoint.errors import InvalidParameter

ALLOWED_SAMPLES = "numbers from -1 to 1 (divide 16-bit samples by 32768)"
MAX_AMPLITUDE = 8.0  # Loud mixes go beyond 1; samples left as integers, far beyond.


def parse_inputs(inputs: object, *, max_audio_bytes: int) -> AudioSource:
    """Return the audio that an `inputs` value holds.

    inputs: bytes of an audio file, their base64, or {"array", "sampling_rate"} with `array` a list or numpy
    array, shape = (n_samples,) or (n_channels, n_samples), in [-1, 1]; numpy integers are scaled.
    Raises InvalidRequest, InvalidParameter, BodyTooLarge.
    """
    if isinstance(inputs, bytes | bytearray | memoryview):
        return take_bytes(bytes(inputs), name="inputs", max_audio_bytes=max_audio_bytes)
    if isinstance(inputs, str):
        return parse_base64(inputs, name="inputs", max_audio_bytes=max_audio_bytes)
    if isinstance(inputs, dict):
        return _parse_samples(inputs)
    raise InvalidParameter(f"inputs is of type {type(inputs).__name__}; allowed: {ALLOWED}")


def _parse_samples(inputs: dict[Any, Any]) -> SampledAudio:
    if set(inputs) != {"array", "sampling_rate"}:
        raise InvalidParameter(
            f'inputs has the keys {sorted(map(str, inputs))}; allowed: "array" and "sampling_rate", or {ALLOWED}'
        )
    return SampledAudio(
        samples=_parse_array(inputs["array"]), sample_rate=_parse_sampling_rate(inputs["sampling_rate"])
    )


def _parse_sampling_rate(rate: object) -> int:
    if not isinstance(rate, int | float | np.integer | np.floating) or isinstance(rate, bool):
        raise InvalidParameter(f"inputs.sampling_rate is {rate!r}; allowed: a number of Hz")
    if 0 < rate <= MAX_SAMPLE_RATE and rate == int(rate):
        return int(rate)
    raise InvalidParameter(
        f"inputs.sampling_rate is {shorten(str(rate))}; allowed: a whole number of Hz up to {MAX_SAMPLE_RATE}"
    )


def _parse_array(array: object) -> npt.NDArray[np.float32]:
    try:
        values = np.asarray(array)
    except ValueError as exc:
        raise InvalidParameter(f"inputs.array is ragged ({exc}); allowed: {ALLOWED_SAMPLES}") from exc
    if values.dtype.kind not in "iuf" and values.size:
        raise InvalidParameter(f"inputs.array holds values of type {values.dtype}; allowed: {ALLOWED_SAMPLES}")
    if values.ndim not in (1, 2) or (values.ndim == 2 and len(values) > MAX_CHANNELS):
        raise InvalidParameter(
            f"inputs.array has the shape {values.shape}; allowed: (n_samples,), or (n_channels, n_samples) "
            f"with at most {MAX_CHANNELS} channels"
        )
    if isinstance(array, np.ndarray) and values.dtype in (np.int8, np.int16, np.int32):
        values = values / -float(np.iinfo(values.dtype).min)
    if values.size and (peak := np.abs(values).max()) > MAX_AMPLITUDE:
        raise InvalidParameter(f"inputs.array has values up to {peak:g}; allowed: {ALLOWED_SAMPLES}")
    return values.astype(np.float32)
