"""Compressed request bodies (RFC 9110, section 8.4): decompressed piece by piece, however far they expand."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from hf_asr_endpoint.errors import InvalidRequest, UnsupportedEncoding

ENCODINGS = ("gzip", "deflate", "identity")
"""What `Content-Encoding` may say."""

PIECE_BYTES = 256 * 2**10
"""A piece of what comes out is no larger, so that a limit on the whole holds before memory is filled."""

_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_WITH_MEMBERS = ("gzip", "x-gzip")


class Decompressor:
    """Takes a body as it arrives. A gzip body may have several members, one behind the other (RFC 1952)."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._member = zlib.decompressobj(_WBITS[encoding])

    def push(self, data: bytes) -> Iterator[bytes]:
        """Yield what comes out, in pieces of at most PIECE_BYTES. Raises InvalidRequest for broken data."""
        while data:
            if self._member.eof:
                self._begin_member()
            piece = self._expand(data)
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            while piece:
                yield piece
                # All input may have been taken while some output found no room.
                piece = b"" if data or self._member.eof else self._expand(b"")

    def check_whole(self) -> None:
        """Raise InvalidRequest when the body has ended too early."""
        if not self._member.eof:
            raise InvalidRequest(
                f"the {self._encoding} body breaks off before its end; allowed: the whole of what was compressed"
            )

    def _begin_member(self) -> None:
        if self._encoding not in _WITH_MEMBERS:
            raise InvalidRequest(
                f"the {self._encoding} body goes on behind its end; allowed: nothing behind what was compressed"
            )
        self._member = zlib.decompressobj(_WBITS[self._encoding])

    def _expand(self, data: bytes) -> bytes:
        try:
            return self._member.decompress(data, PIECE_BYTES)
        except zlib.error as exc:
            raise InvalidRequest(
                f"the body is not what its Content-Encoding says ({exc}); allowed: valid {self._encoding}"
            ) from exc


def open_decompressor(headers: Sequence[str]) -> Decompressor | None:
    """Return what decompresses a body with these Content-Encoding headers; None when it is not compressed.

    Raises UnsupportedEncoding, for more than one encoding as well.
    """
    named = [name.strip().lower() for header in headers for name in header.split(",")]
    encodings = [name for name in named if name not in ("", "identity")]
    if not encodings:
        return None
    if len(encodings) > 1 or encodings[0] not in _WBITS:
        raise UnsupportedEncoding(
            f"the Content-Encoding is {', '.join(encodings)[:100]!r}; allowed: one of {', '.join(ENCODINGS)}"
        )
    return Decompressor(encodings[0])
