"""What the first bytes of a file say it is. Neither file names nor Content-Type headers are asked.

Recognising a format decides two things: which library opens it first, and whether a file that then
cannot be decoded is broken audio or no audio at all.
"""

from __future__ import annotations

import re

N_SNIFF_BYTES = 512

PCM_CONTAINERS = frozenset({"wav", "w64", "aiff", "au", "nist sphere", "caf"})
"""Containers of (nearly) plain samples, which libsndfile reads without surprises."""

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
    (0, rb"\xff[\xf0\xf1\xf8\xf9]", "aac"),
    (0, rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]", "mp3"),
    (0, rb"\x0b\x77", "ac3"),
    # A FLAC stream with stray bytes before its marker: FFmpeg's demuxers find it, so it is audio.
    (0, rb".{1,8}fLaC", "flac"),
)
_COMPILED = tuple((offset, re.compile(pattern, re.DOTALL), name) for offset, pattern, name in _SIGNATURES)


def sniff_container(head: bytes) -> str | None:
    """Return the name of the audio or video container that begins with `head`, or None.

    head: the first bytes of a file, at best N_SNIFF_BYTES of them.
    """
    for offset, pattern, name in _COMPILED:
        if pattern.match(head, offset):
            return name
    return None
