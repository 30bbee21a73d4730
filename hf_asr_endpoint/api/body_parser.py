"""A request body in blocks to a file, a JSON document or a form, whichever its first bytes show it to be.

Decompresses, chooses the parser, and keeps the limits on the length. Does not know what the fields mean, nor in
which thread it runs: a block takes milliseconds, and may wait for the disk.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from starlette.requests import Request

from hf_asr_endpoint.api.content_encoding import open_decompressor
from hf_asr_endpoint.api.encoded_audio import is_pcm_type
from hf_asr_endpoint.api.json_body import BYTE_ORDER_MARK, JsonBody, JsonLimits, JsonParser, Paths
from hf_asr_endpoint.api.multipart import FORM_OVERHEAD_BYTES, FormBody, FormLimits, FormParser
from hf_asr_endpoint.api.multipart_headers import find_boundary
from hf_asr_endpoint.api.spool import open_spool
from hf_asr_endpoint.errors import BodyTooLarge, InvalidRequest, StorageFailed, UnsupportedAudio

MAX_EXPANSION = 100
"""How many times larger compressed JSON may become, beyond the first UNLIMITED_EXPANSION_BYTES."""

UNLIMITED_EXPANSION_BYTES = 2**20

PIECE_BYTES = 32 * 2**10
"""The size of a piece that is parsed without a pause: at most about a millisecond of work."""

_N_HEAD_BYTES = 512
_MAX_BLANK_BYTES = 64 * 2**10
_MULTIPART = re.compile(rb"--[^\r\n]{1,70}\r\ncontent-disposition: *form-data", re.IGNORECASE)  # RFC 7578
_BLANK = BYTE_ORDER_MARK + b" \t\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """What a body may hold.

    max_audio_bytes: of the audio file, however it is wrapped, or of samples as float32.
    """

    max_audio_bytes: int
    json: JsonLimits = field(default_factory=JsonLimits)
    form: FormLimits = field(default_factory=FormLimits)

    @property
    def max_json_bytes(self) -> int:
        return self.max_audio_bytes * 4 // 3 + self.json.max_rest_bytes  # base64 takes 4 bytes for 3

    @property
    def max_form_bytes(self) -> int:
        return self.max_audio_bytes + FORM_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedBodies:
    """Which bodies a path accepts.

    audio_field: the key or the part that holds the audio. raw: the audio file itself. samples: whether a JSON
    object with an "array" of numbers may hold the audio. base64_part: whether a form's audio may be base64.
    json_paths: where JSON may hold the audio; empty: under `audio_field` only.
    """

    audio_field: str
    raw: bool = False
    json: bool = False
    form: bool = False
    samples: bool = False
    base64_part: bool = False
    json_paths: Paths = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RawBody:
    """A body that is the audio file itself, at its beginning."""

    file: BinaryIO


Body = RawBody | JsonBody | FormBody


class _Parser(Protocol):
    """Parses one form of body. `feed` and `finish` raise InvalidRequest and its kinds."""

    def feed(self, block: bytes) -> None: ...
    def finish(self) -> Body: ...
    def close(self) -> None: ...


class _RawParser:
    def __init__(self, *, max_audio_bytes: int) -> None:
        self._file = open_spool(name="the body", max_bytes=max_audio_bytes)

    def feed(self, block: bytes) -> None:
        self._file.write(block)

    def finish(self) -> RawBody:
        return RawBody(file=self._file.rewind())

    def close(self) -> None:
        self._file.close()


class BodyParser:
    """Decompresses one body and hands it to the parser that its first bytes call for. `close` closes its file."""

    def __init__(self, request: Request, limits: BodyLimits, accepted: AcceptedBodies) -> None:
        """Raises UnsupportedEncoding, and BodyTooLarge by the declared length, before a byte is received."""
        self._limits = limits
        self._accepted = accepted
        self._content_type = request.headers.get("content-type")
        self._decompressor = open_decompressor(request.headers.getlist("content-encoding"))
        declared = request.headers.get("content-length", "0")
        # The declared length of a compressed body is not that of its content.
        self._n_declared = int(declared) if declared.isdecimal() and not self._decompressor else 0
        self._n_received = 0
        self._n_bytes = 0
        self._head = b""
        self._parser: _Parser | None = None
        self._check_length(int(declared) if declared.isdecimal() else 0)

    def take(self, block: bytes) -> None:
        """Parse the next block."""
        try:
            self._take(block)
        except OSError as exc:
            raise _storage_failed(exc) from exc

    def finish(self, block: bytes) -> Body:
        """Parse the last block and return the body."""
        try:
            self._take(block)
            if self._decompressor is not None and self._n_received:
                self._decompressor.check_whole()
            if not self._n_bytes:
                raise InvalidRequest("the body is empty; allowed: one that holds audio")
            if self._parser is None:
                self._open_parser()
            assert self._parser is not None
            return self._parser.finish()
        except OSError as exc:
            raise _storage_failed(exc) from exc

    def close(self) -> None:
        if self._parser is not None:
            self._parser.close()

    def _take(self, block: bytes) -> None:
        self._n_received += len(block)
        self._check_length(self._n_received)  # However little comes out of it.
        for piece in (block,) if self._decompressor is None else self._decompressor.push(block):
            self._n_bytes += len(piece)
            if self._parser is None:
                self._head += piece
                self._check_length(self._n_bytes)
                if not self._is_head_complete():
                    continue
                self._open_parser()
            else:
                self._check_length(max(self._n_bytes, self._n_declared))
                self._feed(self._parser, piece)

    def _is_head_complete(self) -> bool:
        n_bytes = len(self._head)
        return n_bytes > _MAX_BLANK_BYTES or (n_bytes >= _N_HEAD_BYTES and bool(self._head.strip(_BLANK)))

    def _open_parser(self) -> None:
        """Choose the parser by what has arrived, and feed it that."""
        self._parser = self._choose_parser()
        self._check_length(max(self._n_bytes, self._n_declared))
        head, self._head = self._head, b""
        self._feed(self._parser, head)

    def _feed(self, parser: _Parser, block: bytes) -> None:
        """Parse a block, and let the event loop run after each piece: else it waits 5 ms for Python's lock."""
        for begin in range(0, len(block), PIECE_BYTES):
            parser.feed(block[begin : begin + PIECE_BYTES])
            time.sleep(0)  # Releases the lock at once, not after sys.getswitchinterval().

    def _choose_parser(self) -> _Parser:
        limits, accepted = self._limits, self._accepted
        if accepted.json and self._is_json():
            return JsonParser(
                audio_paths=accepted.json_paths or ((accepted.audio_field,),),
                accepts_samples=accepted.samples,
                max_audio_bytes=limits.max_audio_bytes,
                limits=limits.json,
            )
        if accepted.form:
            return FormParser(
                find_boundary(self._content_type, self._head),
                file_field=accepted.audio_field,
                decodes_base64=accepted.base64_part,
                max_file_bytes=limits.max_audio_bytes,
                limits=limits.form,
            )
        if _MULTIPART.match(self._head):
            raise UnsupportedAudio(
                "the body is a multipart form; allowed: the audio file itself (curl --data-binary @FILE), or JSON"
            )
        return _RawParser(max_audio_bytes=limits.max_audio_bytes)

    def _is_json(self) -> bool:
        if self._accepted.raw and is_pcm_type(self._content_type):
            return False  # Samples without a header may begin with any byte.
        first = self._head.lstrip(_BLANK)[:1]
        return first == b"{" or (first in (b"[", b'"') and "json" in (self._content_type or "").lower())

    def _check_length(self, n_bytes: int) -> None:
        """Raise BodyTooLarge for a body that is longer than every accepted kind of body may be.

        Once the parser is chosen, only the limit of its kind counts. Raises InvalidRequest for JSON that expands
        too far.
        """
        limits, accepted, parser = self._limits, self._accepted, self._parser
        allowed = [limits.max_audio_bytes]
        if isinstance(parser, JsonParser) or (parser is None and accepted.json):
            allowed.append(limits.max_json_bytes)
        if isinstance(parser, FormParser) or (parser is None and accepted.form):
            allowed.append(limits.max_form_bytes)
        if n_bytes > max(allowed):
            in_json = f" ({limits.max_json_bytes} bytes of JSON with base64)" if accepted.json else ""
            raise BodyTooLarge(
                f"the body has {n_bytes} bytes or more; allowed: {limits.max_audio_bytes} bytes of audio{in_json}",
                n_bytes=n_bytes,
            )
        is_bomb = self._decompressor and n_bytes > UNLIMITED_EXPANSION_BYTES and isinstance(parser, JsonParser)
        if is_bomb and n_bytes > MAX_EXPANSION * self._n_received:
            raise InvalidRequest(
                f"the JSON body expands to more than {MAX_EXPANSION} times its compressed size; "
                f"allowed: {MAX_EXPANSION} times"
            )


def _storage_failed(exc: OSError) -> StorageFailed:
    return StorageFailed(
        f"the body cannot be stored ({exc.strerror}); allowed: bodies that the server's temporary folder can take"
    )
