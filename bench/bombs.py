"""Small bodies that promise, or become, something huge: the server must be done with them soon, and stay small."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable

from bench.attack_bodies import BOUNDARY, FORM_TYPE, HUGGINGFACE, MB, OPENAI, Attack, around, make_form

TEN_HOURS_S = 36_000
RATE_HZ = 6000
GIB = 2**30
_BLOCK = 65_535  # samples of a flac frame: the most there can be


def wav(*, rate_hz: int = 16_000, n_channels: int = 1, n_samples: int = 0, n_promised: int | None = None) -> bytes:
    """Return silence of 16 bits. n_promised: bytes of samples that the header claims, if not those there are."""
    data = bytes(2 * n_channels * n_samples)
    n_bytes = len(data) if n_promised is None else n_promised
    block = 2 * n_channels
    return (
        struct.pack("<4sI4s4sI", b"RIFF", min(36 + n_bytes, 2**32 - 1), b"WAVE", b"fmt ", 16)
        + struct.pack("<HHIIHH", 1, n_channels, rate_hz, min(rate_hz * block, 2**32 - 1), block, 16)
        + struct.pack("<4sI", b"data", n_bytes)
        + data
    )


def silent_flac(seconds: int) -> bytes:
    """Return silence at RATE_HZ in frames of a constant, 13 bytes for 11 seconds. Its length is not declared."""
    info = struct.pack(">HH", _BLOCK, _BLOCK) + bytes(6)  # the sizes of blocks and of frames
    info += (RATE_HZ << 44 | 15 << 36).to_bytes(8) + bytes(16)  # mono of 16 bits; no length, no checksum
    frames = (_constant_frame(index) for index in range(seconds * RATE_HZ // _BLOCK))
    return b"fLaC" + (1 << 31 | len(info)).to_bytes(4) + info + b"".join(frames)


def _constant_frame(index: int) -> bytes:
    """Return one frame of RFC 9639: its size in 16 bits, rate and depth those of the stream."""
    header = b"\xff\xf8\x70\x00" + chr(index).encode() + (_BLOCK - 1).to_bytes(2)
    frame = header + bytes([_crc(header, 0x07, 8)]) + b"\0\0\0"
    return frame + _crc(frame, 0x8005, 16).to_bytes(2)


def _crc(data: bytes, polynomial: int, n_bits: int) -> int:
    crc, top = 0, 1 << n_bits - 1
    for byte in data:
        crc ^= byte << n_bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & (1 << n_bits) - 1
    return crc


def _gzipped_zeros(n_bytes: int) -> bytes:
    """Return `n_bytes` zeros, compressed, without holding them."""
    compressor, piece = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS), bytes(MB)
    return b"".join(compressor.compress(piece) for _ in range(n_bytes // MB)) + compressor.flush()


def _bomb(
    name: str, make_body: Callable[[], bytes], *, path: str = HUGGINGFACE, encoding: str = "", n_at_once: int = 1
) -> Attack:
    headers = {"Content-Encoding": encoding} if encoding else {}
    return Attack(
        name=f"bomb: {name}", path=path, make_body=make_body, headers=headers, n_at_once=n_at_once, is_bomb=True
    )


def _form_of_parts() -> bytes:
    return make_form([("prompt", b"x")] * 10_000)


def _form_of_file_parts() -> bytes:
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'
    return part.encode() * 10_000 + f"--{BOUNDARY}--\r\n".encode()


def _deep_objects() -> bytes:
    return b'{"inputs":"AAAA","parameters":' + b'{"a":' * 100_000 + b"0" + b"}" * 100_000 + b"}"


def _form_bomb(name: str, make_body: Callable[[], bytes]) -> Attack:
    headers = {"Content-Type": FORM_TYPE}
    return Attack(name=f"bomb: {name}", path=OPENAI, make_body=make_body, headers=headers, is_bomb=True)


BOMBS = (
    _bomb(
        "10 h in a gzipped wav",
        lambda: gzip.compress(wav(rate_hz=1000, n_samples=TEN_HOURS_S * 1000)),
        encoding="gzip",
    ),
    _bomb("10 h in a flac", lambda: silent_flac(TEN_HOURS_S)),
    _bomb("10 h in a flac, six", lambda: silent_flac(TEN_HOURS_S), n_at_once=6),
    _bomb("gzip of gzip of 1 GiB", lambda: gzip.compress(_gzipped_zeros(GIB)), encoding="gzip"),
    _bomb("the same, named twice", lambda: gzip.compress(_gzipped_zeros(GIB)), encoding="gzip, gzip"),
    _bomb("gzip of 1 GiB", lambda: _gzipped_zeros(GIB), encoding="gzip"),
    _bomb("wav that promises 4 GB", lambda: wav(n_samples=16_000, n_promised=2**32 - 1)),
    _bomb("255 channels", lambda: wav(n_channels=255, n_samples=16_000)),
    _bomb("1 Hz", lambda: wav(rate_hz=1, n_samples=MB)),
    _bomb("768 kHz", lambda: wav(rate_hz=768_000, n_samples=768_000 * 60)),
    _bomb("768 kHz × 8 channels", lambda: wav(rate_hz=768_000, n_channels=8, n_samples=768_000)),
    _form_bomb("form of 10,000 texts", _form_of_parts),
    _form_bomb("form of 10,000 files", _form_of_file_parts),
    _bomb("JSON 100,000 deep, lists", lambda: b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    _bomb("JSON 100,000 deep, objects", _deep_objects),
    _bomb("JSON key of 100 MB", lambda: around(b'{"inputs":"AAAA","', b"k", b'":0}', 100 * MB)),
    _form_bomb("form field's name of 100 MB", lambda: make_form([("k" * (100 * MB), b"x")])),
)
"""Two hold what a server may accept: a wav that promises more than its second, and a minute at 768 kHz."""
