"""Recognises a container by the first bytes of a file; file names and Content-Type headers play no part.

The result decides which library opens the file first, and whether a file that cannot be decoded is damaged audio
or not audio at all. A caller's description of samples without a header is used only if nothing is recognised, so
bytes that such samples often begin with must not be enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable

N_SNIFF_BYTES = 8_197  # the longest AAC frame, 2^13 - 1 bytes, and the header of the next one

PCM_CONTAINERS = frozenset({"wav", "w64", "aiff", "au", "nist sphere", "caf"})
"""Containers of plain or nearly plain samples, which libsndfile reads reliably."""

# (offset of the signature, signature as a bytes pattern, name)
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, rb"(RIFF|RIFX|RF64)....WAVE", "wav"),
    (0, rb"RIFF....AVI ", "avi"),
    (0, rb"riff\x2e\x91\xcf\x11", "w64"),
    (0, rb"FORM....AIF[FC]", "aiff"),
    (0, rb"(\.snd|dns\.)", "au"),
    (0, rb"NIST_1A", "nist sphere"),
    (0, rb"caff\x00\x01", "caf"),
    (0, rb"fLaC", "flac"),
    (0, rb"OggS", "ogg"),
    (0, rb"\x1aE\xdf\xa3", "webm"),
    (4, rb"(ftyp|moov|mdat|wide|free|skip)", "mp4"),
    (0, rb"#!AMR", "amr"),
    (0, rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wma"),
    (0, rb"\x00\x00\x01[\xb3\xba]", "mpeg"),
    (0, rb"\x47.{187}\x47", "mpeg transport stream"),
    (0, rb"FLV\x01", "flv"),
    (0, rb"ID3[\x02-\x04]", "mp3"),
    (0, rb"\x0b\x77", "ac3"),
    # FFmpeg finds a FLAC stream after stray bytes as well.
    (0, rb".{1,8}fLaC", "flac"),
)
_COMPILED = tuple((offset, re.compile(pattern, re.DOTALL), name) for offset, pattern, name in _SIGNATURES)

# kbit/s by (is MPEG-1, layer) and index in the frame header: ISO 11172-3 and 13818-3, 2.4.2.3.
_MPEG_BIT_RATES = {
    (True, 1): range(32, 449, 32),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_SAMPLE_RATES = (44_100, 48_000, 32_000)  # Hz, of MPEG-1
_MPEG_RATE_DIVISORS = {3: 1, 2: 2, 0: 4}  # by the header's version: MPEG-1, MPEG-2, MPEG-2.5
_N_FRAME_HEADER_BYTES = 6  # 4 of MPEG audio, or enough of AAC's 7


def sniff_container(head: bytes) -> str | None:
    """Return the name of the audio or video container that begins with `head`, or None.

    head: the first N_SNIFF_BYTES of a file, or the whole file if it is shorter.
    """
    for offset, pattern, name in _COMPILED:
        if pattern.match(head, offset):
            return name
    if _begins_frames(head, _mpeg_frame_bytes):
        return "mp3"
    if _begins_frames(head, _aac_frame_bytes):
        return "aac"
    return None


def _begins_frames(head: bytes, frame_bytes: Callable[[bytes], int]) -> bool:
    """Return whether `head` begins with a frame and, if it is long enough, goes on with another one.

    The only signature of a frame is 11 set bits, and samples just below zero have them as well.
    """
    n_bytes = frame_bytes(head) if len(head) >= _N_FRAME_HEADER_BYTES else 0
    following = head[n_bytes:]
    if n_bytes == 0 or len(following) < _N_FRAME_HEADER_BYTES:
        return n_bytes > 0
    return following[:2] == head[:2] and frame_bytes(following) > 0


def _mpeg_frame_bytes(head: bytes) -> int:
    """Return the length of the MPEG audio frame (layers I to III) at the beginning of `head`, or 0."""
    if head[0] != 0xFF or head[1] < 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bit_rate_index, sample_rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version not in _MPEG_RATE_DIVISORS or layer == 4 or bit_rate_index in (0, 15) or sample_rate_index == 3:
        return 0
    is_version_1 = version == 3
    bit_rate = 1000 * _MPEG_BIT_RATES[is_version_1, layer][bit_rate_index - 1]
    sample_rate = _MPEG_SAMPLE_RATES[sample_rate_index] // _MPEG_RATE_DIVISORS[version]
    if layer == 1:
        return (12 * bit_rate // sample_rate + padding) * 4
    n_samples = 1152 if layer == 2 or is_version_1 else 576
    return n_samples // 8 * bit_rate // sample_rate + padding


def _aac_frame_bytes(head: bytes) -> int:
    """Return the length of the AAC frame with an ADTS header at the beginning of `head`, or 0."""
    if head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    sample_rate_index, n_channels = head[2] >> 2 & 15, (head[2] & 1) << 2 | head[3] >> 6
    if sample_rate_index > 12 or n_channels == 0:
        return 0
    n_bytes = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return n_bytes if n_bytes > 7 else 0
