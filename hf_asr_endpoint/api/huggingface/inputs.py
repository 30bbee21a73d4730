"""`inputs` to audio: bytes, base64, or samples. Paths and URLs are refused, never opened."""

from __future__ import annotations

import base64
import binascii
import io
import math
import re
from typing import Any

import numpy as np

from hf_asr_endpoint.audio.decode import PcmFormat
from hf_asr_endpoint.audio.source import AudioSource, EncodedAudio, SampledAudio
from hf_asr_endpoint.errors import BodyTooLarge, InvalidParameter, InvalidRequest

ALLOWED = 'base64 of an audio file, plain or as a "data:" URL'

_DATA_URL = re.compile(r"data:(?P<media_type>[^,]*?)(?P<base64>;base64)?,", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PCM_TYPES = ("audio/l16", "audio/pcm")
_PCM_NUMBER = re.compile(r"[1-9][0-9]{0,6}")
_MAX_CHANNELS = 64


def parse_inputs(inputs: object, *, max_audio_bytes: int) -> AudioSource:
    """Return the audio that an `inputs` value holds.

    inputs: bytes of an audio file, their base64, or {"array", "sampling_rate"} with `array` a list or numpy
    array, shape = (n_samples,) or (n_channels, n_samples), in [-1, 1].
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
        raise BodyTooLarge(f"inputs holds {len(audio)} bytes of audio; allowed: {max_audio_bytes} bytes")
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
    rate = inputs["sampling_rate"]
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not _is_whole(float(rate)):
        raise InvalidParameter(f"inputs.sampling_rate is {rate!r}; allowed: a whole number of Hz")
    try:
        samples = np.asarray(inputs["array"], dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as exc:
        raise InvalidParameter(
            f"inputs.array is not an array of numbers ({exc}); allowed: numbers in [-1, 1]"
        ) from exc
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and len(samples) > _MAX_CHANNELS):
        raise InvalidParameter(
            f"inputs.array has the shape {samples.shape}; allowed: (n_samples,), or (n_channels, n_samples) "
            f"with at most {_MAX_CHANNELS} channels"
        )
    return SampledAudio(samples=samples, sample_rate=int(rate))


def _is_whole(number: float) -> bool:
    return math.isfinite(number) and number == int(number)


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
