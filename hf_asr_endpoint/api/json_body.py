"""JSON bodies, parsed while they arrive: the audio goes to a file, and only the small rest becomes a document.

The audio is the value at one of a few paths: base64, which is decoded piece by piece, or, where it is accepted, an
object whose "array" holds samples. Everything else is copied as it stands, up to the limits on its size, and given
to `json.loads` at the end, with `null` in place of the audio. So time and memory stay linear in the
body's length, whatever it holds. This module does not know what the other keys mean.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from hf_asr_endpoint.api.byte_stream import ByteStream, Steps, UnexpectedEnd
from hf_asr_endpoint.api.encoded_audio import Base64Decoder
from hf_asr_endpoint.api.json_strings import invalid_json, string_ends, string_piece, unescape
from hf_asr_endpoint.api.sample_array import SampleArrayParser, Samples
from hf_asr_endpoint.api.spool import LimitedFile, open_spool
from hf_asr_endpoint.api.texts import check_text, given_twice
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import InvalidRequest
from hf_asr_endpoint.messages import quote

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Some clients send it before the document."""

Path = tuple[str, ...]
Paths = tuple[Path, ...]

SAMPLES_KEY = "array"
"""The key of the audio's object that holds samples."""

_BLANKS = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb"[-+.0-9A-Za-z]++")


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLimits:
    """What a JSON body may hold outside the audio. Keys are not counted as values."""

    max_rest_bytes: int = 64 * 2**10
    max_values: int = 1_000
    max_depth: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonBody:
    """A document with the audio in it: an EncodedAudio for base64, an array of samples for a list of numbers.

    Its keys are unique at every level, and its texts are whole.
    """

    document: Any


class JsonParser:
    """Parses one JSON body. `close` closes the audio's file.

    audio_paths: the keys, from the top, that the audio may be under. accepts_samples: whether {"array": […]}
    may be its value.
    `feed` and `finish` raise InvalidRequest and its kinds.
    """

    def __init__(
        self, *, audio_paths: Paths, accepts_samples: bool, max_audio_bytes: int, limits: JsonLimits
    ) -> None:
        self._audio_paths = audio_paths
        self._accepts_samples = accepts_samples
        self._max_audio_bytes = max_audio_bytes
        self._limits = limits
        self._rest = bytearray()
        self._n_values = 0
        self._file: LimitedFile | None = None
        self._audio: EncodedAudio | Samples | None = None
        self._audio_path: Path = ()
        self._stream = ByteStream()
        self._steps = self._parse()
        next(self._steps)

    def feed(self, block: bytes) -> None:
        """Take the next block."""
        self._stream.append(block)
        self._advance()

    def finish(self) -> JsonBody:
        """Return the body after its last block."""
        self._stream.complete()
        self._advance()
        try:
            document = json.loads(self._rest.decode(), object_pairs_hook=_unique_keys)
        except json.JSONDecodeError as exc:
            raise invalid_json(f"{exc.msg} at character {exc.pos}, not counting the audio") from exc
        except ValueError as exc:  # Bytes that are not UTF-8, or a number of thousands of digits.
            raise invalid_json(str(exc)) from exc
        _check_texts(document, name="")
        if self._audio is not None:
            *parents, key = self._audio_path
            holder = document
            for parent in parents:
                holder = holder[parent]
            holder[key] = self._audio
        return JsonBody(document=document)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _advance(self) -> None:
        try:
            next(self._steps, None)
        except UnexpectedEnd as exc:
            raise invalid_json("it breaks off before its end") from exc

    def _parse(self) -> Steps[None]:
        """Copy tokens to the rest, except for the audio.

        Only what is needed to find the audio is checked here; `json.loads` checks the grammar of the rest.
        """
        yield
        yield from self._skip_byte_order_mark()
        path: list[str | None] = []  # The key at which each open object stands; None for an open list.
        is_key = False
        while char := (yield from self._peek()):
            if char == b'"' and is_key:
                path[-1] = unescape((yield from self._string())).decode("utf-8", "replace")
            elif char == b'"' and tuple(path) in self._audio_paths:
                yield from self._base64(tuple(map(str, path)))
            elif char == b"[" and self._accepts_samples and self._is_array(path):
                yield from self._samples(tuple(map(str, path)))
            elif char == b'"':
                self._count_value()
                yield from self._string()
            elif char in b"{[":
                self._count_value()
                path.append("" if char == b"{" else None)
                is_key = char == b"{"
                self._check_depth(len(path))
                self._copy(1)
            elif char in b"]}":
                if not path:
                    raise invalid_json(f"{char.decode()!r} closes nothing")
                path.pop()
                is_key = False
                self._copy(1)
            elif char in b",:":
                is_key = char == b"," and bool(path) and path[-1] is not None
                self._copy(1)
            else:
                self._count_value()
                yield from self._scalar()

    def _skip_byte_order_mark(self) -> Steps[None]:
        stream = self._stream
        while stream.n_bytes < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(stream.data):
            yield from stream.more()
        if stream.data.startswith(BYTE_ORDER_MARK):
            stream.position = len(BYTE_ORDER_MARK)

    def _peek(self) -> Steps[bytes]:
        """Copy blanks and return the next byte, which stays; b"" at the end of the body."""
        stream = self._stream
        while True:
            found = _BLANKS.match(stream.data, stream.position)
            assert found  # It may be empty.
            self._copy(len(found[0]))
            if stream.n_bytes:
                return stream.data[stream.position : stream.position + 1]
            if not (yield from stream.wait()):
                return b""

    def _string(self) -> Steps[bytes]:
        """Copy a string and return what stands between its quotes."""
        stream = self._stream
        self._copy(1)
        begin = len(self._rest)
        while not string_ends(stream, piece := string_piece(stream)):
            self._copy(len(piece))
            yield from stream.more()
        self._copy(len(piece) + 1)
        return bytes(self._rest[begin:-1])

    def _is_array(self, path: list[str | None]) -> bool:
        return path[-1:] == [SAMPLES_KEY] and tuple(path[:-1]) in self._audio_paths

    def _base64(self, path: Path) -> Steps[None]:
        decoder = Base64Decoder(self._open_file(path), name=".".join(path))
        stream = self._stream
        stream.position += 1
        while not string_ends(stream, piece := string_piece(stream)):
            decoder.feed(unescape(piece))
            stream.position += len(piece)
            yield from stream.more()
        decoder.feed(unescape(piece))
        stream.position += len(piece) + 1
        self._audio = decoder.finish()
        self._rest += b"null"

    def _samples(self, path: Path) -> Steps[None]:
        parser = SampleArrayParser(self._stream, self._open_file(path), name=".".join(path))
        self._audio = yield from parser.parse()
        self._rest += b"null"

    def _scalar(self) -> Steps[None]:
        """Copy a number, true, false or null; what is none of them is found by `json.loads`."""
        stream = self._stream
        while True:
            found = _SCALAR.match(stream.data, stream.position)
            if not found:
                shown = stream.data[stream.position : stream.position + 20].decode("utf-8", "replace")
                raise invalid_json(f"{quote(shown)} instead of a value")
            self._check_rest(len(found[0]))
            if found.end() < len(stream.data) or not (yield from stream.wait()):
                self._copy(len(found[0]))
                return

    def _open_file(self, path: Path) -> LimitedFile:
        name = ".".join(path)
        if self._file is not None:
            raise given_twice(name if path == self._audio_path else f"the audio ({name})")
        self._file, self._audio_path = open_spool(name=name, max_bytes=self._max_audio_bytes), path
        return self._file

    def _copy(self, n_bytes: int) -> None:
        stream = self._stream
        self._check_rest(n_bytes)
        self._rest += stream.data[stream.position : stream.position + n_bytes]
        stream.position += n_bytes

    def _check_rest(self, n_more: int) -> None:
        limit = self._limits.max_rest_bytes
        if len(self._rest) + n_more > limit:
            raise InvalidRequest(
                f"the JSON body has more than {limit} bytes outside the audio; "
                f"allowed: {limit} bytes, and audio in {'.'.join(self._audio_paths[0])} only"
            )

    def _count_value(self) -> None:
        self._n_values += 1
        if self._n_values > (limit := self._limits.max_values):
            raise InvalidRequest(f"the JSON body has more than {limit} values; allowed: {limit} values")

    def _check_depth(self, depth: int) -> None:
        if depth > (limit := self._limits.max_depth):
            raise InvalidRequest(f"the JSON body is nested more than {limit} deep; allowed: {limit} levels")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise given_twice(name)
            seen.add(name)
    return document


def _check_texts(value: Any, *, name: str) -> None:
    """Raise InvalidParameter for a text that is not whole. Keys are checked by the dialects, which know them."""
    if isinstance(value, str):
        check_text(value, name=name)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_texts(inner, name=key)
    elif isinstance(value, list):
        for inner in value:
            _check_texts(inner, name=name)
