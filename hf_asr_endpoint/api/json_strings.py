"""Strings of JSON, read piece by piece from a stream."""

from __future__ import annotations

import json
import re

from hf_asr_endpoint.api.byte_stream import ByteStream
from hf_asr_endpoint.errors import InvalidRequest
from hf_asr_endpoint.messages import quote

_PIECE = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+')
_HALF_AN_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{0,3})?")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= "


def string_piece(stream: ByteStream) -> bytes:
    """Return the string at the position as far as it has arrived, without its quote or half of an escape."""
    end = stream.data.find(b'"', stream.position)
    piece = stream.data[stream.position : end if end >= 0 else None]
    if not piece.translate(None, _BASE64):
        return piece  # The usual content of a large string, found faster than by the expression below.
    found = _PIECE.match(stream.data, stream.position)
    assert found  # It may be empty.
    return found[0]


def string_ends(stream: ByteStream, piece: bytes) -> bool:
    """Return whether the string ends after a piece at the position. Raises InvalidRequest if it cannot go on."""
    end = stream.position + len(piece)
    following = stream.data[end : end + 8]
    if following and following[:1] != b'"' and not _HALF_AN_ESCAPE.fullmatch(following):
        raise invalid_json(f"{quote(following.decode('utf-8', 'replace'))} in a string")
    return following[:1] == b'"'


def unescape(piece: bytes) -> bytes:
    """Return a piece of a string with its escapes replaced, in UTF-8 (which may hold half of a surrogate pair)."""
    if b"\\" not in piece:
        return piece
    text: str = json.loads(f'"{piece.decode("utf-8", "replace")}"')
    return text.encode("utf-8", "surrogatepass")


def invalid_json(reason: str) -> InvalidRequest:
    """Return the error for a body that is not JSON."""
    return InvalidRequest(
        f"the body begins like JSON but is not valid JSON ({reason}); allowed: audio in base64 in a JSON object"
    )
