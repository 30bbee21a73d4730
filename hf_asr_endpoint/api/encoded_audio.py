"""Audio files inside other documents, as base64, and headerless samples that a media type describes."""

from __future__ import annotations

import base64
import binascii
import io
import re

from hf_asr_endpoint.audio.decode import PcmFormat
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import BodyTooLarge, InvalidParameter, InvalidRequest

ALLOWED = 'base64 of an audio file, plain or as a "data:" URL'

MAX_CHANNELS = 64

_DATA_URL = re.compile(r"data:(?P<media_type>[^,]*?)(?P<base64>;base64)?,", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PCM_TYPES = ("audio/l16", "audio/pcm")
_PCM_NUMBER = re.compile(r"[1-9][0-9]{0,6}")


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
    if not _PCM_NUMBER.fullmatch(rate) or not _PCM_NUMBER.fullmatch(channels) or int(channels) > MAX_CHANNELS:
        raise InvalidParameter(
            f"the media type is {shorten(media_type or '')}; "
            f"allowed: rate in Hz and channels (1 to {MAX_CHANNELS}), "
            'such as "audio/L16; rate=16000; channels=1"'
        )
    endianness = given.get("endianness", "little-endian")
    if endianness not in ("little-endian", "big-endian"):
        raise InvalidParameter(f"endianness is {shorten(endianness)}; allowed: little-endian or big-endian")
    return PcmFormat(
        sample_rate=int(rate),
        n_channels=int(channels),
        byte_order="BIG" if endianness == "big-endian" else "LITTLE",
    )


def take_bytes(audio: bytes, *, name: str, max_audio_bytes: int, pcm: PcmFormat | None = None) -> EncodedAudio:
    """Return an audio file's bytes as audio. name: as in `parse_base64`, which raises the same."""
    if not audio:
        raise InvalidRequest(f"{name} is empty; allowed: {ALLOWED}")
    if len(audio) > max_audio_bytes:
        raise BodyTooLarge(
            f"{name} holds {len(audio)} bytes of audio; allowed: {max_audio_bytes} bytes", n_bytes=len(audio)
        )
    return EncodedAudio(file=io.BytesIO(audio), pcm=pcm)


def parse_base64(text: str, *, name: str, max_audio_bytes: int) -> EncodedAudio:
    """Return the audio that base64 holds, plain or in a data: URL.

    name: of the parameter, for messages. Raises InvalidRequest, InvalidParameter, BodyTooLarge.
    """
    pcm = None
    if match := _DATA_URL.match(text):
        if not match["base64"]:
            raise InvalidRequest(f"{name} is a data URL without ;base64; allowed: {ALLOWED}")
        pcm = parse_pcm_type(match["media_type"])
        text = text[match.end() :]
    elif _URL.match(text):
        raise InvalidRequest(f"{name} is the URL {shorten(text)}, and URLs are not opened; allowed: {ALLOWED}")
    try:
        audio = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidRequest(
            f"{name} is {shorten(text)}, which is no base64 ({exc}); "
            f"paths and URLs are not opened; allowed: {ALLOWED}"
        ) from exc
    return take_bytes(audio, name=name, max_audio_bytes=max_audio_bytes, pcm=pcm)


def shorten(text: str) -> str:
    """Return a text as a message shows it."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
