"""Audio files inside other documents, as base64, and headerless samples that a media type describes.

Knows base64, data: URLs and media types. Paths and URLs of other kinds are refused, never opened.
"""

from __future__ import annotations

import binascii
import io
import re

from hf_asr_endpoint.api.spool import LimitedFile
from hf_asr_endpoint.audio.decode import PcmFormat
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import BodyTooLarge, InvalidParameter, InvalidRequest
from hf_asr_endpoint.messages import quote

ALLOWED = 'base64 of an audio file, plain or as a "data:" URL'

MAX_CHANNELS = 64

MAX_PREFIX_BYTES = 1_024
"""The longest "data:<media type>;base64," of a data: URL."""

_MAX_PADDING_BYTES = 1_024  # from the last whole group of four characters on
_SLICE_CHARACTERS = 2**18
_SHOWN_CHARACTERS = 60
_WHITE_SPACE = b" \t\r\n\v\f"

_DATA_URL = re.compile(rb"data:(?P<media_type>[^,]*?)(?P<base64>;base64)?,", re.IGNORECASE)
_URL = re.compile(rb"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PCM_TYPES = ("audio/l16", "audio/pcm")
_PCM_NUMBER = re.compile(r"[1-9][0-9]{0,6}")


def is_pcm_type(media_type: str | None) -> bool:
    """Return whether a media type is one of those that describe samples without a header."""
    return (media_type or "").partition(";")[0].strip().lower() in _PCM_TYPES


def parse_pcm_type(media_type: str | None) -> PcmFormat | None:
    """Return how to read headerless samples; None if `media_type` does not describe such samples.

    "audio/L16; rate=16000; channels=1" (RFC 2586) or "audio/pcm; rate=…". Samples are little-endian, as
    speech clients send them in spite of the RFC, unless "endianness=big-endian" is given.
    Raises InvalidParameter if such a type lacks its rate or has other values.
    """
    if media_type is None or not is_pcm_type(media_type):
        return None
    parameters = (part.partition("=") for part in media_type.split(";")[1:])
    given = {key.strip().lower(): value.strip(' "') for key, _, value in parameters}
    rate, channels = given.get("rate", ""), given.get("channels", "1")
    if not _PCM_NUMBER.fullmatch(rate) or not _PCM_NUMBER.fullmatch(channels) or int(channels) > MAX_CHANNELS:
        raise InvalidParameter(
            f"the media type is {quote(media_type)}; "
            f"allowed: rate in Hz and channels (1 to {MAX_CHANNELS}), "
            'such as "audio/L16; rate=16000; channels=1"'
        )
    endianness = given.get("endianness", "little-endian")
    if endianness not in ("little-endian", "big-endian"):
        raise InvalidParameter(f"endianness is {quote(endianness)}; allowed: little-endian or big-endian")
    return PcmFormat(
        sample_rate=int(rate),
        n_channels=int(channels),
        byte_order="BIG" if endianness == "big-endian" else "LITTLE",
    )


class Base64Decoder:
    """Decodes base64, plain or in a data: URL, into a file while its text arrives.

    White space is skipped. Padding is required, as in RFC 4648.
    name: of the parameter, for messages. `feed` and `finish` raise InvalidRequest, InvalidParameter (a media type
    that describes no usable samples) and BodyTooLarge.
    """

    def __init__(self, file: LimitedFile, *, name: str) -> None:
        self._file = file
        self._name = name
        self._head = b""
        self._has_begun = False
        self._pcm: PcmFormat | None = None
        self._pending = b""

    def feed(self, text: bytes) -> None:
        """Take a piece of the text, in UTF-8."""
        if not self._has_begun:
            self._head += text
            if len(self._head) < MAX_PREFIX_BYTES:
                return
            text = self._begin()
        self._decode(text)

    def finish(self) -> EncodedAudio:
        """Return the audio, whose file is at its beginning."""
        if not self._has_begun:
            self._decode(self._begin())
        self._write(self._pending)
        if not self._file.n_bytes:
            raise InvalidRequest(f"{self._name} is empty; allowed: {ALLOWED}")
        return EncodedAudio(file=self._file.rewind(), pcm=self._pcm)

    def _begin(self) -> bytes:
        """Return what follows the prefix of a data: URL, or the whole head if there is no prefix."""
        self._has_begun = True
        head = self._head
        if match := _DATA_URL.match(head):
            if not match["base64"]:
                raise InvalidRequest(f"{self._name} is a data URL without ;base64; allowed: {ALLOWED}")
            self._pcm = parse_pcm_type(match["media_type"].decode("utf-8", "replace"))
            return head[match.end() :]
        if head[:5].lower() == b"data:":
            raise InvalidRequest(
                f"{self._name} is a data URL without a comma in its first {MAX_PREFIX_BYTES} bytes; "
                f"allowed: {ALLOWED}"
            )
        if _URL.match(head):
            raise InvalidRequest(
                f"{self._name} is the URL {self._shown()}, and URLs are not opened; allowed: {ALLOWED}"
            )
        return head

    def _decode(self, text: bytes) -> None:
        """Decode whole groups of four characters, except for the last one, which padding may follow."""
        pending = self._pending + text.translate(None, _WHITE_SPACE)
        padding = pending.find(b"=")
        n_groups = (len(pending) if padding < 0 else padding) // 4 - 1
        n_decoded = max(0, 4 * n_groups)
        if len(pending) - n_decoded > _MAX_PADDING_BYTES:
            raise self._invalid("data after the padding")
        self._write(pending[:n_decoded])
        self._pending = pending[n_decoded:]

    def _write(self, groups: bytes) -> None:
        try:
            audio = binascii.a2b_base64(groups, strict_mode=True)
        except binascii.Error as exc:
            raise self._invalid(str(exc)) from exc
        self._file.write(audio)

    def _invalid(self, reason: str) -> InvalidRequest:
        return InvalidRequest(
            f"{self._name} is {self._shown()}, which is not valid base64 ({reason}); "
            f"paths and URLs are not opened; allowed: {ALLOWED}"
        )

    def _shown(self) -> str:
        head = self._head[: 4 * _SHOWN_CHARACTERS + 4].decode("utf-8", "replace")
        return quote(head, max_characters=_SHOWN_CHARACTERS)


def take_bytes(audio: bytes, *, name: str, max_audio_bytes: int) -> EncodedAudio:
    """Return an audio file's bytes as audio. Raises InvalidRequest if there are none, BodyTooLarge.

    name: of the parameter, for messages.
    """
    if not audio:
        raise InvalidRequest(f"{name} is empty; allowed: {ALLOWED}")
    if len(audio) > max_audio_bytes:
        raise BodyTooLarge(
            f"{name} holds {len(audio)} bytes of audio; allowed: {max_audio_bytes} bytes", n_bytes=len(audio)
        )
    return EncodedAudio(file=io.BytesIO(audio))


def parse_base64(text: str, *, name: str, max_audio_bytes: int) -> EncodedAudio:
    """Return the audio that a whole text holds, decoded in memory. name, raises: as for Base64Decoder."""
    decoder = Base64Decoder(LimitedFile(io.BytesIO(), name=name, max_bytes=max_audio_bytes), name=name)
    for begin in range(0, len(text), _SLICE_CHARACTERS):
        decoder.feed(text[begin : begin + _SLICE_CHARACTERS].encode("utf-8", "surrogatepass"))
    return decoder.finish()
