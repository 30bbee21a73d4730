"""Forms of the type multipart/form-data (RFC 7578), parsed while they arrive.

The one file goes straight into its own temporary file, and is written once; texts are collected under limits for
each and for all of them. Parsers that take every part without a filename for text refuse or corrupt the audio of
clients that send none: here the part's name decides. This module does not know what the texts mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from hf_asr_endpoint.api.byte_stream import ByteStream, Steps, UnexpectedEnd
from hf_asr_endpoint.api.encoded_audio import Base64Decoder, describe_file, is_pcm_type
from hf_asr_endpoint.api.multipart_headers import PartHeaders, parse_part_headers
from hf_asr_endpoint.api.spool import LimitedFile, open_spool
from hf_asr_endpoint.api.texts import check_text, given_twice
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest

FORM_OVERHEAD_BYTES = 2**20
"""What a form may hold besides the file: headers, boundaries and texts."""

N_HEAD_BYTES = 512
"""The first bytes of a part tell text from audio: no audio format begins with 512 printable characters."""

_MAX_PADDING_BYTES = 100  # blanks between a boundary and the end of its line
_MAX_FALSE_BOUNDARIES = 100

_LINE_END = re.compile(rb"--|[ \t]*\r\n")
_HALF_A_LINE_END = re.compile(rb"-|[ \t]*\r?")
_PRINTABLE = re.compile(rb"[\t\r\n -~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """What a form may hold besides the file."""

    max_parts: int = 200
    max_text_bytes: int = 64 * 2**10
    max_texts_bytes: int = 256 * 2**10
    """Of all texts together."""
    max_header_bytes: int = 8 * 2**10
    """Of all headers of one part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormBody:
    """texts: names and texts in their order, all of them whole. audio: None where the form has no file.

    filename: of the file, as the client names it; "" without a name.
    """

    texts: tuple[tuple[str, str], ...]
    audio: EncodedAudio | None
    filename: str = ""


class FormParser:
    """Parses one form. `close` closes its file.

    file_field: the part that is the file, with or without a filename. decodes_base64: whether that part may also
    be a text, base64 or a data: URL, if it has no filename.
    `feed` and `finish` raise InvalidRequest and its kinds.
    """

    def __init__(
        self, boundary: bytes, *, file_field: str, decodes_base64: bool, max_file_bytes: int, limits: FormLimits
    ) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._file_field = file_field
        self._decodes_base64 = decodes_base64
        self._max_file_bytes = max_file_bytes
        self._limits = limits
        self._texts: list[tuple[str, str]] = []
        self._n_texts_bytes = 0
        self._n_parts = 0
        self._n_false_boundaries = 0
        self._file: LimitedFile | None = None
        self._filename = ""
        self._audio: EncodedAudio | None = None
        self._stream = ByteStream()
        self._steps = self._parse()
        next(self._steps)

    def feed(self, block: bytes) -> None:
        """Take the next block."""
        self._stream.append(block)
        self._advance()

    def finish(self) -> FormBody:
        """Return the form after its last block."""
        self._stream.complete()
        self._advance()
        return FormBody(texts=tuple(self._texts), audio=self._audio, filename=self._filename)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _advance(self) -> None:
        try:
            next(self._steps, None)
        except UnexpectedEnd as exc:
            raise InvalidRequest(
                f"the multipart form breaks off in part {self._n_parts}; "
                "allowed: a form that ends with its boundary and two hyphens"
            ) from exc

    def _parse(self) -> Steps[None]:
        yield
        stream = self._stream
        yield from self._first_boundary()
        while not (yield from self._is_last_boundary()):
            yield from self._part()
        stream.position = len(stream.data)
        while (yield from stream.wait()):
            stream.position = len(stream.data)  # What follows the last boundary means nothing.

    def _first_boundary(self) -> Steps[None]:
        """Consume the boundary at the beginning, which line breaks may precede."""
        stream, opening = self._stream, self._delimiter[2:]
        while True:
            stream.position = len(stream.data) - len(stream.data[stream.position :].lstrip(b"\r\n"))
            if stream.n_bytes >= len(opening):
                break
            yield from stream.more()
        if not stream.data.startswith(opening, stream.position):
            raise _broken("it does not begin with its boundary")
        stream.position += len(opening)

    def _is_last_boundary(self) -> Steps[bool]:
        """Consume the rest of a boundary's line. Return whether two hyphens say that the form has ended."""
        stream = self._stream
        while not (found := _LINE_END.match(stream.data, stream.position)):
            if not self._is_half_a_line_end(stream.position):
                raise _broken("a boundary is followed by other characters on its line")
            yield from stream.more()
        stream.position = found.end()
        return found[0] == b"--"

    def _part(self) -> Steps[None]:
        self._n_parts += 1
        if self._n_parts > (limit := self._limits.max_parts):
            raise InvalidRequest(f"the multipart form has more than {limit} parts; allowed: {limit} parts")
        headers = parse_part_headers((yield from self._header_lines()))
        if headers.name == self._file_field:
            yield from self._read_file(headers)
        else:
            yield from self._read_text(headers)

    def _header_lines(self) -> Steps[bytes]:
        """Return a part's headers without the empty line after them."""
        stream, limit = self._stream, self._limits.max_header_bytes
        while True:
            if stream.data.startswith(b"\r\n", stream.position):  # There are none.
                stream.position += 2
                return b""
            end = stream.data.find(b"\r\n\r\n", stream.position)
            lines = stream.data[stream.position : end if end >= 0 else None]
            if len(lines) > limit:
                raise _broken(f"part {self._n_parts} has more than {limit} bytes of headers")
            if end >= 0:
                stream.position = end + 4
                return lines
            yield from stream.more()

    def _read_text(self, headers: PartHeaders) -> Steps[None]:
        """Read a text. Some programs send every field as a file, so a filename does not matter."""
        content = bytearray()
        limits = self._limits

        def collect(data: bytes) -> None:
            nonlocal content
            content += data
            self._n_texts_bytes += len(data)
            if len(content) > limits.max_text_bytes:
                if headers.has_filename:
                    raise self._not_the_file(headers)
                raise InvalidParameter(
                    f"{headers.name} has more than {limits.max_text_bytes} bytes; allowed: that many in a text, "
                    f"and more only in the file, which is called {self._file_field}",
                    parameter=headers.name,
                )
            if self._n_texts_bytes > limits.max_texts_bytes:
                raise InvalidRequest(
                    f"the texts of the multipart form have more than {limits.max_texts_bytes} bytes together; "
                    f"allowed: {limits.max_texts_bytes} bytes"
                )

        yield from self._content(collect)
        try:
            text = check_text(headers.decode_text(bytes(content)), name=headers.name)
        except InvalidParameter as exc:
            if not headers.has_filename:
                raise
            raise self._not_the_file(headers) from exc
        self._texts.append((headers.name, text))

    def _not_the_file(self, headers: PartHeaders) -> InvalidParameter:
        return InvalidParameter(
            f"{headers.name} is sent as a file that is not a short text; allowed as a file: {self._file_field}",
            parameter=headers.name,
        )

    def _read_file(self, headers: PartHeaders) -> Steps[None]:
        if self._file is not None:
            raise given_twice(headers.name)
        self._file = open_spool(name=headers.name, max_bytes=self._max_file_bytes)
        self._filename = headers.filename or ""
        if self._decodes_base64 and not headers.has_filename and not is_pcm_type(headers.media_type):
            content = _TextOrFile(self._file, name=headers.name)
            yield from self._content(content.write)
            self._audio = content.finish()
        else:
            yield from self._content(self._file.write)
            self._audio = describe_file(self._file.rewind(), headers.media_type)
        if not self._file.n_bytes:
            raise InvalidParameter(f"{headers.name} is empty; allowed: one audio file", parameter=headers.name)

    def _content(self, write: Callable[[bytes], None]) -> Steps[None]:
        """Hand a part's content to `write`, and consume the boundary after it, but not the rest of its line."""
        stream, delimiter = self._stream, self._delimiter
        while True:
            begin = stream.position
            found = stream.data.find(delimiter, begin)
            if found < 0:
                # The end may be the beginning of a delimiter.
                stream.position = max(begin, len(stream.data) - len(delimiter) + 1)
                write(stream.data[begin : stream.position])
                yield from stream.more()
                continue
            after = found + len(delimiter)
            if _LINE_END.match(stream.data, after):
                write(stream.data[begin:found])
                stream.position = after
                return
            if self._is_half_a_line_end(after):
                yield from stream.more()
                continue
            self._n_false_boundaries += 1
            if self._n_false_boundaries > _MAX_FALSE_BOUNDARIES:
                raise _broken("its boundary stands within parts, again and again")
            write(stream.data[begin:after])
            stream.position = after

    def _is_half_a_line_end(self, position: int) -> bool:
        rest = self._stream.data[position : position + _MAX_PADDING_BYTES + 1]
        return len(rest) <= _MAX_PADDING_BYTES and _HALF_A_LINE_END.fullmatch(rest) is not None


class _TextOrFile:
    """The content of a file part without a filename: base64 or the file itself, as its first bytes say."""

    def __init__(self, file: LimitedFile, *, name: str) -> None:
        self._file = file
        self._decoder = Base64Decoder(file, name=name)
        self._head = b""
        self._is_text: bool | None = None

    def write(self, data: bytes) -> None:
        if self._is_text is None:
            self._head += data
            if len(self._head) < N_HEAD_BYTES:
                return
            data = self._begin()
        self._write(data)

    def finish(self) -> EncodedAudio:
        if self._is_text is None:
            self._write(self._begin())
        return self._decoder.finish() if self._is_text else EncodedAudio(file=self._file.rewind())

    def _begin(self) -> bytes:
        self._is_text = _PRINTABLE.fullmatch(self._head, 0, N_HEAD_BYTES) is not None
        return self._head

    def _write(self, data: bytes) -> None:
        if self._is_text:
            self._decoder.feed(data)
        else:
            self._file.write(data)


def _broken(reason: str) -> InvalidRequest:
    return InvalidRequest(f"the multipart form is broken: {reason}; allowed: a form as in RFC 7578")
