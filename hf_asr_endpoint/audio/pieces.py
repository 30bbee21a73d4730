"""Recognises a later piece of a recording that was sent in pieces: its header is in the first one.

Browsers' MediaRecorder gives such pieces, and so do live streams. Knows how pieces begin; used only for a file
that cannot be decoded, since samples without a header may begin so by chance.
"""

from __future__ import annotations

_MATROSKA_CLUSTER = 0x1F43B675
_MATROSKA_PARTS = frozenset(
    {
        _MATROSKA_CLUSTER,
        0x1C53BB6B,  # Cues
        0x1254C367,  # Tags
        0xE7,  # Timestamp
        0xA3,  # SimpleBlock
        0xA0,  # BlockGroup
        0xA1,  # Block
        0x9B,  # BlockDuration
        0xAB,  # PrevSize
        0xA7,  # Position
        0xEC,  # Void
    }
)
"""What a Matroska file consists of behind its header: RFC 9559, section 5."""

_MATROSKA_BLOCKS = frozenset({0xA3, 0xA0})  # One may be longer than the bytes at hand.
_MATROSKA_MASTERS = frozenset({_MATROSKA_CLUSTER, 0xA0})  # They hold other parts.
_MIN_PARTS = 3
_MP4_FRAGMENT_BOXES = (b"styp", b"sidx", b"moof", b"emsg", b"prft", b"mfra")  # ISO 14496-12, 8.8 and 8.16
_OGG_HEADER_BYTES = 27
_OGG_FIRST_PAGE = 0x02  # a flag in a page's header: RFC 3533, section 6


def name_later_piece(head: bytes) -> str | None:
    """Return the recording's format if a file that begins with `head` is a later piece of one, or None."""
    if head[4:8] in _MP4_FRAGMENT_BOXES:
        return "mp4"
    if head[:5] == b"OggS\0" and len(head) > _OGG_HEADER_BYTES and not head[5] & _OGG_FIRST_PAGE and head[26] > 0:
        return "ogg"
    if _begins_with_matroska_parts(head):
        return "webm"
    return None


def _begins_with_matroska_parts(head: bytes) -> bool:
    """Return whether `head` is a chain of a Matroska file's parts, each as long as it says."""
    position = n_parts = 0
    while n_parts < _MIN_PARTS:
        found = _read_part(head, position)
        if found is None:
            return False
        name, position = found
        n_parts += 1
        if name == _MATROSKA_CLUSTER:
            return True  # Four bytes that nothing else begins with.
        if position >= len(head):
            return n_parts > 1 or name in _MATROSKA_BLOCKS
    return True


def _read_part(head: bytes, position: int) -> tuple[int, int] | None:
    """Return a part's name and where the next one begins, or None. Numbers: RFC 8794, section 4."""
    first = head[position : position + 1]
    n_name = 9 - first[0].bit_length() if first and first[0] else 0
    name = int.from_bytes(head[position : position + n_name], "big")
    if name not in _MATROSKA_PARTS:
        return None
    begin = position + n_name
    size_first = head[begin : begin + 1]
    n_size = 9 - size_first[0].bit_length() if size_first and size_first[0] else 0
    if not n_size or begin + n_size > len(head):
        return None
    size = int.from_bytes(head[begin : begin + n_size], "big") - (1 << 7 * n_size)
    content = begin + n_size
    return name, content if name in _MATROSKA_MASTERS else content + size
