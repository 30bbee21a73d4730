"""`inputs` to audio: bytes, base64, or samples. Paths and URLs are refused, never opened."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.api.encoded_audio import ALLOWED, MAX_CHANNELS, parse_base64, take_bytes
from hf_asr_endpoint.api.json_body import SAMPLES_KEY
from hf_asr_endpoint.api.sample_array import ALLOWED_SAMPLES, check_amplitude
from hf_asr_endpoint.api.texts import join_names
from hf_asr_endpoint.audio.resample import MAX_SAMPLE_RATE
from hf_asr_endpoint.audio.source import AudioSource, EncodedAudio, SampledAudio
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.messages import show_value

RATE_KEY = "sampling_rate"


def parse_inputs(inputs: object, *, max_audio_bytes: int) -> AudioSource:
    """Return the audio that an `inputs` value holds.

    inputs: bytes of an audio file, their base64, or {"array", "sampling_rate"} with `array` a list or numpy
    array, shape = (n_samples,) or (n_channels, n_samples), in [-1, 1]; numpy integers are scaled. A JSON body's
    base64 has been decoded already, and its array parsed.
    Raises InvalidRequest, InvalidParameter, BodyTooLarge.
    """
    if isinstance(inputs, EncodedAudio):
        return inputs
    if isinstance(inputs, bytes | bytearray | memoryview):
        return take_bytes(bytes(inputs), name="inputs", max_audio_bytes=max_audio_bytes)
    if isinstance(inputs, str):
        return parse_base64(inputs, name="inputs", max_audio_bytes=max_audio_bytes)
    if isinstance(inputs, dict):
        return _parse_samples(inputs)
    raise InvalidParameter(f"inputs is of type {type(inputs).__name__}; allowed: {ALLOWED}")


def _parse_samples(inputs: dict[Any, Any]) -> SampledAudio:
    if set(inputs) != {SAMPLES_KEY, RATE_KEY}:
        raise InvalidParameter(
            f"inputs has the keys {join_names(sorted(map(str, inputs)))}; "
            f'allowed: "{SAMPLES_KEY}" and "{RATE_KEY}", or {ALLOWED}'
        )
    return SampledAudio(
        samples=_parse_array(inputs[SAMPLES_KEY]), sample_rate=_parse_sampling_rate(inputs[RATE_KEY])
    )


def _parse_sampling_rate(rate: object) -> int:
    if not isinstance(rate, int | float | np.integer | np.floating) or isinstance(rate, bool):
        raise InvalidParameter(f"inputs.{RATE_KEY} is {show_value(rate)}; allowed: a number of Hz")
    if 0 < rate <= MAX_SAMPLE_RATE and rate == int(rate):
        return int(rate)
    raise InvalidParameter(
        f"inputs.{RATE_KEY} is {show_value(rate)}; allowed: a whole number of Hz up to {MAX_SAMPLE_RATE}"
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
    check_amplitude(values, name="inputs.array")
    return values.astype(np.float32, copy=False)
