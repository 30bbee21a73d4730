"""Requests as programs send them, byte by byte, kept as .http files that were written from the programs' sources.

A file has comments (#), a request line, headers, an empty line and the body. In the body, a line `< NAME` stands
for the bytes of a recording, and {{base64 NAME}} for its base64. Lines end with CRLF on the wire.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

FOLDER = Path(__file__).parent / "requests"
TIMEOUT_S = 120.0
PIECE_BYTES = 4096

_BASE64 = re.compile(rb"\{\{base64 (\S+)\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    media_type: str
    text: str


def read_request(name: str, recordings: Mapping[str, bytes]) -> RecordedRequest:
    """Read requests/<name>.http and put the recordings in."""
    lines = (FOLDER / f"{name}.http").read_text().removesuffix("\n").split("\n")
    lines = lines[next(i for i, line in enumerate(lines) if not line.startswith("#")) :]
    end = lines.index("")
    method, path, _ = lines[0].split(" ")
    headers = tuple((field, value) for field, _, value in (line.partition(": ") for line in lines[1:end]))
    body = b"\r\n".join(_content_of(line, recordings) for line in lines[end + 1 :])
    if "multipart" in dict(headers)["Content-Type"]:
        body += b"\r\n"
    else:
        body = _BASE64.sub(lambda found: base64.b64encode(recordings[found[1].decode()]), body)
    return RecordedRequest(method=method, path=path, headers=headers, body=body)


def _content_of(line: str, recordings: Mapping[str, bytes]) -> bytes:
    return recordings[line.removeprefix("< ")] if line.startswith("< ") else line.encode()


def _pieces(body: bytes) -> Iterator[bytes]:
    for begin in range(0, len(body), PIECE_BYTES):
        yield body[begin : begin + PIECE_BYTES]


def send(url: str, request: RecordedRequest) -> Answer:
    """Send a request as it is, with no header but its own, Host, and Content-Length unless it comes in pieces."""
    is_chunked = dict(request.headers).get("Transfer-Encoding") == "chunked"
    length = () if is_chunked else (("Content-Length", str(len(request.body))),)
    connection = HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
    try:
        connection.putrequest(request.method, request.path, skip_accept_encoding=True)
        for field, value in (*request.headers, *length):
            connection.putheader(field, value)
        connection.endheaders(_pieces(request.body) if is_chunked else request.body, encode_chunked=is_chunked)
        response = connection.getresponse()
        media_type = response.headers.get_content_type()
        return Answer(status=response.status, media_type=media_type, text=response.read().decode())
    finally:
        connection.close()
