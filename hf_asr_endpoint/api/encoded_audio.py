"""Audio files inside other documents, as base64, and headerless samples that a media type describes.

Knows base64, data: URLs and media types. Paths and URLs of other kinds are refused, never opened.
"""

from __future__ import annotations

import binascii
import io
import re
from typing import BinaryIO, Literal

from hf_asr_endpoint.api.spool import LimitedFile
from hf_asr_endpoint.audio.containers import N_SNIFF_BYTES, sniff_container
from hf_asr_endpoint.audio.headerless import Encoding, PcmFormat
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
_DEFAULT_LAW_HZ = 8_000  # RFC 3551, sections 4.5.14 and 4.5.10
_PCM_TYPES: dict[str, Encoding] = {
    "audio/l16": "PCM_16",
    "audio/x-l16": "PCM_16",
    "audio/pcm": "PCM_16",
    "audio/x-pcm": "PCM_16",
    "audio/pcmu": "ULAW",
    "audio/basic": "ULAW",  # RFC 2046, section 4.3; an .au file with this type has a header, which is found
    "audio/mulaw": "ULAW",
    "audio/x-mulaw": "ULAW",
    "audio/pcma": "ALAW",
    "audio/alaw": "ALAW",
    "audio/x-alaw": "ALAW",
}
"""Media types of samples without a header, with the names that programs use besides the registered ones."""

_PCM_NUMBER = re.compile(r"[1-9][0-9]{0,6}")
_BYTE_ORDERS: dict[str, Literal["LITTLE", "BIG"]] = {"little-endian": "LITTLE", "big-endian": "BIG"}


def is_pcm_type(media_type: str | None) -> bool:
    """Return whether a media type is one of those that describe samples without a header."""
    return (media_type or "").partition(";")[0].strip().lower() in _PCM_TYPES


def parse_pcm_type(media_type: str | None) -> PcmFormat | None:
    """Return how to read headerless samples; None if `media_type` does not describe such samples.

    "audio/L16; rate=16000; channels=1" (RFC 2586), "audio/pcm; rate=…", "audio/PCMU", "audio/PCMA" (RFC 4856) or
    "audio/basic" (RFC 2046). By its RFC, L16 is big-endian, but speech programs send it little-endian as well: the
    samples tell, unless "endianness" is given. Raises InvalidParameter if such a type has other values, or has no
    rate and no default for it.
    """
    encoding = _PCM_TYPES.get((media_type or "").partition(";")[0].strip().lower())
    if media_type is None or encoding is None:
        return None
    parameters = (part.partition("=") for part in media_type.split(";")[1:])
    given = {key.strip().lower(): value.strip(' "') for key, _, value in parameters}
    rate, channels = (
        given.get("rate", "" if encoding == "PCM_16" else str(_DEFAULT_LAW_HZ)),
        given.get("channels", "1"),
    )
    if not _PCM_NUMBER.fullmatch(rate) or not _PCM_NUMBER.fullmatch(channels) or int(channels) > MAX_CHANNELS:
        raise InvalidParameter(
            f"the media type is {quote(media_type)}; "
            f"allowed: rate in Hz and channels (1 to {MAX_CHANNELS}), "
            'such as "audio/L16; rate=16000; channels=1"'
        )
    endianness = given.get("endianness", "").lower()
    if endianness and endianness not in _BYTE_ORDERS:
        raise InvalidParameter(f"endianness is {quote(endianness)}; allowed: little-endian or big-endian")
    return PcmFormat(
        sample_rate=int(rate), n_channels=int(channels), encoding=encoding, byte_order=_BYTE_ORDERS.get(endianness)
    )


def describe_file(file: BinaryIO, media_type: str | None) -> EncodedAudio:
    """Return a file as audio. Its media type counts only if it has no header. Blocks for one read.

    file: at its beginning, and again there afterwards. Raises InvalidParameter, as `parse_pcm_type` does.
    """
    if not is_pcm_type(media_type):
        return EncodedAudio(file=file)
    head = file.read(N_SNIFF_BYTES)
    file.seek(0)
    has_header = sniff_container(head) is not None
    return EncodedAudio(file=file, pcm=None if has_header else parse_pcm_type(media_type))


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
        self._media_type: str | None = None
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
        return describe_file(self._file.rewind(), self._media_type)

    def _begin(self) -> bytes:
        """Return what follows the prefix of a data: URL, or the whole head if there is no prefix."""
        self._has_begun = True
        head = self._head
        if match := _DATA_URL.match(head):
            if not match["base64"]:
                raise InvalidRequest(f"{self._name} is a data URL without ;base64; allowed: {ALLOWED}")
            self._media_type = match["media_type"].decode("utf-8", "replace")
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
