"""The headers of multipart forms (RFC 7578): the boundary, and each part's name and charset.

Knows what the headers say; `multipart` knows where parts begin and end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hf_asr_endpoint.api.texts import MAX_NAME_CHARACTERS
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest
from hf_asr_endpoint.messages import quote

MAX_HEADERS = 16

CHARSETS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "iso-8859-1": "latin-1",
    "latin-1": "latin-1",
    "latin1": "latin-1",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
    "us-ascii": "ascii",
    "ascii": "ascii",
}
"""Charsets that a part may name, with Python's names for them. Python has others, some of them very slow."""

_BOUNDARY_CHARACTERS = "-0-9A-Za-z'()+_,./:=?"  # RFC 2046, section 5.1.1, which also allows blanks within quotes
_DECLARED = re.compile(
    rf";[ \t]*boundary[ \t]*=[ \t]*"
    rf'(?:"([{_BOUNDARY_CHARACTERS} ]{{0,69}}[{_BOUNDARY_CHARACTERS}])"|([{_BOUNDARY_CHARACTERS}]{{1,70}}))'
    rf"[ \t]*(?:;|$)",
    re.IGNORECASE,
)
_FIRST_LINE = re.compile(rf"--([{_BOUNDARY_CHARACTERS} ]{{0,69}}[{_BOUNDARY_CHARACTERS}])[ \t]*\r\n".encode())
_PLAIN_ENCODINGS = ("7bit", "8bit", "binary")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")  # RFC 9110, section 5.5
_PARAMETER = re.compile(r';\s*([^=;"\s]++)\s*=\s*(?:"((?:[^"\\]++|\\.)*+)"|([^;]*+))', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHeaders:
    """charset: one of CHARSETS' values; None for one that is not among its keys, which only a text needs.

    filename: None for a part that has none, "" for one without a name that can be read.
    """

    name: str
    filename: str | None
    charset: str | None
    media_type: str | None = None

    @property
    def has_filename(self) -> bool:
        return self.filename is not None

    def decode_text(self, content: bytes) -> str:
        """Return the part's content as a text. Raises InvalidParameter."""
        if self.charset is None:
            raise self._not_text("its charset is not known")
        try:
            return content.decode(self.charset)
        except UnicodeDecodeError as exc:
            raise self._not_text(str(exc)) from exc

    def _not_text(self, reason: str) -> InvalidParameter:
        return InvalidParameter(
            f"{self.name} is not text ({reason}); "
            "allowed: UTF-8, or UTF-16, ISO-8859-1, windows-1252 or US-ASCII if the part's Content-Type names it",
            parameter=self.name,
        )


def find_boundary(content_type: str | None, head: bytes) -> bytes:
    """Return the boundary that the request's Content-Type declares, or else that of the body's first line.

    head: the body's first bytes. Raises InvalidRequest if neither is a boundary of RFC 2046.
    """
    if declared := _DECLARED.search(content_type or ""):
        return (declared[1] or declared[2]).encode()
    if first := _FIRST_LINE.match(head):
        return first[1]
    raise InvalidRequest(
        f"the body is not a multipart form: its Content-Type, {quote(content_type or 'absent')}, has no valid "
        "boundary, and its first line is not a boundary; allowed: multipart/form-data"
    )


def parse_part_headers(lines: bytes) -> PartHeaders:
    """Parse a part's header lines, without the empty line after them. Raises InvalidRequest."""
    headers: dict[str, str] = {}
    for line in lines.split(b"\r\n") if lines else ():
        found = _HEADER.fullmatch(_decode(line))
        if not found:
            raise InvalidRequest(
                f"the multipart form is broken: {quote(_decode(line))} is not a header; "
                "allowed: a form as in RFC 7578"
            )
        headers.setdefault(found[1].lower(), found[2])
        if len(headers) > MAX_HEADERS:
            raise InvalidRequest(
                f"the multipart form has a part with more than {MAX_HEADERS} headers; allowed: {MAX_HEADERS}"
            )
    disposition = _parameters(headers.get("content-disposition", ""))
    name = disposition.get("name")
    if name is None:
        raise InvalidRequest(
            "the multipart form has a part without a name; allowed: Content-Disposition: form-data; name=…"
        )
    if len(name) > MAX_NAME_CHARACTERS:
        raise InvalidRequest(
            f"the multipart form has a part with the name {quote(name)} of {len(name)} characters; "
            f"allowed: {MAX_NAME_CHARACTERS} characters"
        )
    encoding = headers.get("content-transfer-encoding", "binary").strip().lower()
    if encoding not in _PLAIN_ENCODINGS:
        raise InvalidRequest(
            f"the part {quote(name)} is encoded as {quote(encoding)}; "
            f"allowed: {', '.join(_PLAIN_ENCODINGS)} (RFC 7578)"
        )
    charset = _parameters(headers.get("content-type", "")).get("charset", "utf-8")
    return PartHeaders(
        name=name,
        filename=disposition.get("filename", "" if "filename*" in disposition else None),
        charset=CHARSETS.get(charset.strip().lower()),
        media_type=headers.get("content-type"),
    )


def _parameters(header: str) -> dict[str, str]:
    """Return the parameters after a header's first value; of one that is given twice, the first."""
    parameters: dict[str, str] = {}
    for found in _PARAMETER.finditer(header):
        quoted, plain = found[2], found[3]
        value = plain.strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        parameters.setdefault(found[1].lower(), value)
    return parameters


def _decode(header: bytes) -> str:
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")
