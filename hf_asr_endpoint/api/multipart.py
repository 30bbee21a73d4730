"""Forms of the type multipart/form-data (RFC 7578), over python-multipart's parser of the bytes alone.

Starlette's own reading takes every part without a filename for text, and then refuses or corrupts the audio
of clients that send none. Here a part is bytes, and whoever asks for it decides what it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from types import TracebackType
from typing import BinaryIO, cast

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError

from hf_asr_endpoint.api.body import SPOOL_BYTES
from hf_asr_endpoint.errors import BodyTooLarge, InvalidParameter, InvalidRequest

FORM_OVERHEAD_BYTES = 2**20
"""Room for everything in a form that is not the file."""

_BLOCK_BYTES = 256 * 2**10
_MAX_BOUNDARY_BYTES = 256  # RFC 2046 allows 70.
_PLAIN_ENCODINGS = ("7bit", "8bit", "binary")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """What a form may hold. `max_header_bytes` is for each header of a part."""

    max_file_bytes: int
    max_parts: int = 200
    max_text_bytes: int = 64 * 2**10
    max_headers: int = 16
    max_header_bytes: int = 8 * 2**10


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part received whole. file: its bytes, at their beginning. filename: "" is one, None is none."""

    name: str
    filename: str | None
    charset: str | None
    file: BinaryIO
    n_bytes: int

    def text(self) -> str:
        """Return what the part says. Raises InvalidParameter when that is no text."""
        content = self.file.read()
        self.file.seek(0)
        try:
            text = content.decode(self.charset or "utf-8")
            text.encode()  # Some charsets can spell half a surrogate pair, which is no text.
        except (UnicodeError, LookupError) as exc:
            raise InvalidParameter(
                f"{self.name} is not text ({exc}); allowed: UTF-8, or the charset that the part's type names",
                parameter=self.name,
            ) from exc
        return text


class Form:
    """A form's parts in their order. A context manager, whose end closes their files."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._files = ExitStack()

    def __enter__(self) -> Form:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def open_file(self) -> BinaryIO:
        """Return an empty file that is closed with the form."""
        file = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 # The stack closes it.
        return cast(BinaryIO, self._files.enter_context(file))

    def close(self) -> None:
        self._files.close()


def parse_multipart(
    body: BinaryIO, *, content_type: str | None, file_fields: Collection[str], limits: FormLimits
) -> Form:
    """Read a form from a file at its beginning. Blocks.

    content_type: the request's, for its boundary; without one there the body's first line is taken.
    file_fields: names of parts that may be as large as a file even without a filename.
    Raises InvalidRequest for what is no whole form or has too many parts, InvalidParameter for a text that is
    too long, BodyTooLarge for a file that is; no file stays open then.
    """
    form = Form()
    try:
        reader = _Reader(form, file_fields=file_fields, limits=limits)
        parser = MultipartParser(
            _boundary(body, content_type),
            {
                "on_part_begin": reader.begin,
                "on_header_field": reader.header_name,
                "on_header_value": reader.header_value,
                "on_header_end": reader.header_end,
                "on_headers_finished": reader.headers_end,
                "on_part_data": reader.content,
                "on_part_end": reader.end,
                "on_end": reader.form_end,
            },
            max_header_count=limits.max_headers,
            max_header_size=limits.max_header_bytes,
        )
        while block := body.read(_BLOCK_BYTES):
            parser.write(block)
        reader.check_whole()
    except FormParserError as exc:
        form.close()
        raise InvalidRequest(f"the multipart form is broken ({exc}); allowed: a form as RFC 7578 says") from exc
    except BaseException:
        form.close()
        raise
    return form


def _boundary(body: BinaryIO, content_type: str | None) -> bytes:
    message = Message()
    message["Content-Type"] = content_type or ""
    declared = message.get_boundary()
    if declared:
        return declared.encode("utf-8", "surrogateescape")
    first = body.read(_MAX_BOUNDARY_BYTES).partition(b"\r\n")
    body.seek(0)
    if first[0].startswith(b"--") and len(first[0]) > 2 and first[1]:
        return first[0][2:]
    raise InvalidRequest(
        f"the body is no multipart form: its Content-Type, {(content_type or 'absent')[:100]!r}, names no "
        "boundary, and its first line is none; allowed: multipart/form-data"
    )


class _Reader:
    """Makes parts of what the parser reports, block by block."""

    def __init__(self, form: Form, *, file_fields: Collection[str], limits: FormLimits) -> None:
        self._form = form
        self._file_fields = file_fields
        self._limits = limits
        self._is_whole = False
        self.begin()

    def begin(self) -> None:
        self._headers = Message()
        self._header_name = bytearray()
        self._header_value = bytearray()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def header_end(self) -> None:
        self._headers[_decode(self._header_name)] = _decode(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def headers_end(self) -> None:
        name = _parameter(self._headers, "name")
        if name is None:
            raise InvalidRequest(
                "the multipart form has a part without a name; allowed: Content-Disposition: form-data; name=…"
            )
        if len(self._form.parts) >= self._limits.max_parts:
            raise InvalidRequest(
                f"the multipart form has more than {self._limits.max_parts} parts; "
                f"allowed: {self._limits.max_parts} at most"
            )
        encoding = self._headers.get("Content-Transfer-Encoding", "binary").strip().lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise InvalidRequest(
                f"the part {name!r} is encoded as {encoding!r}; allowed: {', '.join(_PLAIN_ENCODINGS)} (RFC 7578)"
            )
        self._name = name
        self._filename = _parameter(self._headers, "filename")
        self._file = self._form.open_file()
        self._n_bytes = 0

    def content(self, data: bytes, start: int, end: int) -> None:
        self._n_bytes += end - start
        if self._filename is None and self._name not in self._file_fields:
            if self._n_bytes > self._limits.max_text_bytes:
                raise InvalidParameter(
                    f"{self._name} has more than {self._limits.max_text_bytes} bytes; allowed: that many in a "
                    f"text, and more only in a file, which is called {' or '.join(self._file_fields)}",
                    parameter=self._name,
                )
        elif self._n_bytes > self._limits.max_file_bytes:
            raise BodyTooLarge(
                f"{self._name} has {self._n_bytes} bytes or more; allowed: {self._limits.max_file_bytes} bytes",
                n_bytes=self._n_bytes,
            )
        self._file.write(data[start:end])

    def end(self) -> None:
        self._file.seek(0)
        self._form.parts.append(
            Part(
                name=self._name,
                filename=self._filename,
                charset=self._headers.get_content_charset(),
                file=self._file,
                n_bytes=self._n_bytes,
            )
        )

    def form_end(self) -> None:
        self._is_whole = True

    def check_whole(self) -> None:
        if not self._is_whole:
            raise InvalidRequest(
                f"the multipart form breaks off after {len(self._form.parts)} whole parts; "
                "allowed: a form that ends with its boundary and two hyphens"
            )


def _parameter(headers: Message, name: str) -> str | None:
    """Return a parameter of the part's Content-Disposition, also as RFC 5987 spells it: filename*=UTF-8''…"""
    try:
        value = headers.get_param(name, header="Content-Disposition")
        return None if value is None else collapse_rfc2231_value(value)
    except ValueError as exc:
        raise InvalidRequest(
            f"a part's Content-Disposition cannot be read ({exc}); allowed: form-data; name=…; filename=…"
        ) from exc


def _decode(header: bytearray) -> str:
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")
