"""Compressed request bodies (RFC 9110, section 8.4), decompressed in pieces, however far they expand."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from hf_asr_endpoint.errors import InvalidRequest, UnsupportedEncoding
from hf_asr_endpoint.messages import quote

ENCODINGS = ("gzip", "deflate", "identity")
"""What `Content-Encoding` may say."""

PIECE_BYTES = 256 * 2**10
"""No piece of the output is larger, so that a limit on the whole holds before memory is filled."""

MAX_MEMBERS = 10_000
"""Of a gzip body. Each costs as much as a few kilobytes of data; block-wise gzip has one for each 64 KiB."""

_SLICE_BYTES = 8 * 2**10  # of input: zlib copies what is left of it after each piece and each member
_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_WITH_MEMBERS = ("gzip", "x-gzip")


class Decompressor:
    """Takes a body as it arrives. A gzip body may have several members, one after the other (RFC 1952)."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._member = zlib.decompressobj(_WBITS[encoding])
        self._n_members = 1

    def push(self, data: bytes) -> Iterator[bytes]:
        """Yield the output in pieces of at most 2 × PIECE_BYTES. Raises InvalidRequest for broken data.

        Output of many small members is gathered, so that it does not come in as many small pieces.
        """
        gathered = bytearray()
        for begin in range(0, len(data), _SLICE_BYTES):
            for piece in self._push_slice(data[begin : begin + _SLICE_BYTES]):
                gathered += piece
                if len(gathered) >= PIECE_BYTES:
                    yield bytes(gathered)
                    gathered.clear()
        if gathered:
            yield bytes(gathered)

    def check_whole(self) -> None:
        """Raise InvalidRequest if the body has ended too early."""
        if not self._member.eof:
            raise InvalidRequest(
                f"the {self._encoding} body breaks off before its end; allowed: the whole compressed body"
            )

    def _push_slice(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member.eof:
                self._begin_member()
            piece = self._expand(data)
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            while piece:
                yield piece
                # All input may be consumed while some output still waits inside.
                piece = b"" if data or self._member.eof else self._expand(b"")

    def _begin_member(self) -> None:
        if self._encoding not in _WITH_MEMBERS:
            raise InvalidRequest(
                f"the {self._encoding} body goes on after its end; allowed: nothing after the compressed data"
            )
        self._n_members += 1
        if self._n_members > MAX_MEMBERS:
            raise InvalidRequest(
                f"the {self._encoding} body has more than {MAX_MEMBERS} members; allowed: {MAX_MEMBERS} members"
            )
        self._member = zlib.decompressobj(_WBITS[self._encoding])

    def _expand(self, data: bytes) -> bytes:
        try:
            return self._member.decompress(data, PIECE_BYTES)
        except zlib.error as exc:
            raise InvalidRequest(
                f"the body does not match its Content-Encoding ({exc}); allowed: valid {self._encoding}"
            ) from exc


def open_decompressor(headers: Sequence[str]) -> Decompressor | None:
    """Return a decompressor for a body with these Content-Encoding headers; None if it is not compressed.

    Raises UnsupportedEncoding, for more than one encoding as well.
    """
    named = [name.strip().lower() for header in headers for name in header.split(",")]
    encodings = [name for name in named if name not in ("", "identity")]
    if not encodings:
        return None
    if len(encodings) > 1 or encodings[0] not in _WBITS:
        raise UnsupportedEncoding(
            f"the Content-Encoding is {quote(', '.join(encodings))}; allowed: one of {', '.join(ENCODINGS)}"
        )
    return Decompressor(encodings[0])
