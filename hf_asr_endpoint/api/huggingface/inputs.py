"""`inputs` to audio: bytes, base64, or samples. Paths and URLs are refused, never opened."""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.audio.decode import PcmFormat
from hf_asr_endpoint.audio.resample import MAX_SAMPLE_RATE
from hf_asr_endpoint.audio.source import AudioSource, EncodedAudio, SampledAudio
from hf_asr_endpoint.errors import BodyTooLarge, InvalidParameter, InvalidRequest

ALLOWED = 'base64 of an audio file, plain or as a "data:" URL'

ALLOWED_SAMPLES = "numbers from -1 to 1 (divide 16-bit samples by 32768)"
MAX_AMPLITUDE = 8.0  # Loud mixes go beyond 1; samples left as integers, far beyond.

_DATA_URL = re.compile(r"data:(?P<media_type>[^,]*?)(?P<base64>;base64)?,", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PCM_TYPES = ("audio/l16", "audio/pcm")
_PCM_NUMBER = re.compile(r"[1-9][0-9]{0,6}")
_MAX_CHANNELS = 64


def parse_inputs(inputs: object, *, max_audio_bytes: int) -> AudioSource:
    """Return the audio that an `inputs` value holds.

    inputs: bytes of an audio file, their base64, or {"array", "sampling_rate"} with `array` a list or numpy
    array, shape = (n_samples,) or (n_channels, n_samples), in [-1, 1]; numpy integers are scaled.
    Raises InvalidRequest, InvalidParameter, BodyTooLarge.
    """
    if isinstance(inputs, bytes | bytearray | memoryview):
        return _encoded(bytes(inputs), max_audio_bytes=max_audio_bytes)
    if isinstance(inputs, str):
        return _parse_base64(inputs, max_audio_bytes=max_audio_bytes)
    if isinstance(inputs, dict):
        return _parse_samples(inputs)
    raise InvalidParameter(f"inputs is of type {type(inputs).__name__}; allowed: {ALLOWED}")


def parse_pcm_type(media_type: str | None) -> PcmFormat | None:
    """Return how to read headerless samples, if `media_type` is one of those that describe them.

    "audio/L16; rate=16000; channels=1" (RFC 2586) or "audio/pcm; rate=…". Samples are little-endian, as
    speech clients send them in spite of the RFC, unless "endianness=big-endian" is given.
    Raises InvalidParameter when such a type lacks its rate or has other values.
    """
    kind, *rest = (media_type or "").split(";")
    if kind.strip().lower() not in _PCM_TYPES:
        return None
    given = {key.strip().lower(): value.strip(' "') for key, _, value in (part.partition("=") for part in rest)}
    rate, channels = given.get("rate", ""), given.get("channels", "1")
    if not _PCM_NUMBER.fullmatch(rate) or not _PCM_NUMBER.fullmatch(channels) or int(channels) > _MAX_CHANNELS:
        raise InvalidParameter(
            f"the media type is {_shorten(media_type or '')}; "
            f"allowed: rate in Hz and channels (1 to {_MAX_CHANNELS}), "
            'such as "audio/L16; rate=16000; channels=1"'
        )
    endianness = given.get("endianness", "little-endian")
    if endianness not in ("little-endian", "big-endian"):
        raise InvalidParameter(f"endianness is {_shorten(endianness)}; allowed: little-endian or big-endian")
    return PcmFormat(
        sample_rate=int(rate),
        n_channels=int(channels),
        byte_order="BIG" if endianness == "big-endian" else "LITTLE",
    )


def _encoded(audio: bytes, *, max_audio_bytes: int, pcm: PcmFormat | None = None) -> EncodedAudio:
    if not audio:
        raise InvalidRequest(f"inputs is empty; allowed: {ALLOWED}")
    if len(audio) > max_audio_bytes:
        raise BodyTooLarge(
            f"inputs holds {len(audio)} bytes of audio; allowed: {max_audio_bytes} bytes", n_bytes=len(audio)
        )
    return EncodedAudio(file=io.BytesIO(audio), pcm=pcm)


def _parse_base64(text: str, *, max_audio_bytes: int) -> EncodedAudio:
    pcm = None
    if match := _DATA_URL.match(text):
        if not match["base64"]:
            raise InvalidRequest(f"inputs is a data URL without ;base64; allowed: {ALLOWED}")
        pcm = parse_pcm_type(match["media_type"])
        text = text[match.end() :]
    elif _URL.match(text):
        raise InvalidRequest(f"inputs is the URL {_shorten(text)}, and URLs are not opened; allowed: {ALLOWED}")
    try:
        audio = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidRequest(
            f"inputs is {_shorten(text)}, which is no base64 ({exc}); "
            f"paths and URLs are not opened; allowed: {ALLOWED}"
        ) from exc
    return _encoded(audio, max_audio_bytes=max_audio_bytes, pcm=pcm)


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
        f"inputs.sampling_rate is {_shorten(str(rate))}; allowed: a whole number of Hz up to {MAX_SAMPLE_RATE}"
    )


def _parse_array(array: object) -> npt.NDArray[np.float32]:
    try:
        values = np.asarray(array)
    except ValueError as exc:
        raise InvalidParameter(f"inputs.array is ragged ({exc}); allowed: {ALLOWED_SAMPLES}") from exc
    if values.dtype.kind not in "iuf" and values.size:
        raise InvalidParameter(f"inputs.array holds values of type {values.dtype}; allowed: {ALLOWED_SAMPLES}")
    if values.ndim not in (1, 2) or (values.ndim == 2 and len(values) > _MAX_CHANNELS):
        raise InvalidParameter(
            f"inputs.array has the shape {values.shape}; allowed: (n_samples,), or (n_channels, n_samples) "
            f"with at most {_MAX_CHANNELS} channels"
        )
    if isinstance(array, np.ndarray) and values.dtype in (np.int8, np.int16, np.int32):
        values = values / -float(np.iinfo(values.dtype).min)
    if values.size and (peak := np.abs(values).max()) > MAX_AMPLITUDE:
        raise InvalidParameter(f"inputs.array has values up to {peak:g}; allowed: {ALLOWED_SAMPLES}")
    return values.astype(np.float32)


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
