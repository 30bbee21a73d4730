"""Files that keep FFmpeg busy with next to no audio are refused after a limited amount of work."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable

import pytest

from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.audio.files import MAX_FLAC_BLOCKS, MAX_ID3_TAGS, MAX_TAGS
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import DATA, decode, make_tone, write_ffmpeg, write_sound

FLAC = write_sound(make_tone(SAMPLE_RATE), SAMPLE_RATE, container="FLAC")
FLAC_INFO, FLAC_FRAMES = FLAC[4 + 4 : 4 + 4 + 34], FLAC[FLAC.index(b"\xff\xf8") :]
MP3 = (DATA.parent / "jfk.mp3").read_bytes()


def flac_with(*blocks: tuple[int, bytes]) -> bytes:
    """Return a flac of a tone with metadata blocks (type, content) after its STREAMINFO."""
    parts = [(0, FLAC_INFO), *blocks]
    headers = [
        bytes([kind | (0x80 if index == len(parts) - 1 else 0)]) + len(content).to_bytes(3, "big") + content
        for index, (kind, content) in enumerate(parts)
    ]
    return b"fLaC" + b"".join(headers) + FLAC_FRAMES


def vorbis_comment(n_tags: int) -> bytes:
    """Return tags with names of their own: FFmpeg compares each name with all earlier ones."""
    tags = (f"{index:06X}=v".encode() for index in range(n_tags))
    return struct.pack("<II", 0, n_tags) + b"".join(struct.pack("<I", len(tag)) + tag for tag in tags)


def id3(content: bytes) -> bytes:
    n_bytes = bytes(len(content) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + n_bytes + content


def ogg_page(kind: int, index: int, content: bytes, *, is_end: bool = True) -> bytes:
    lengths = [255] * (len(content) // 255) + ([len(content) % 255] if is_end else [])
    header = (
        b"OggS\0" + bytes([kind]) + bytes(8) + struct.pack("<III", 1, index, 0) + bytes([len(lengths), *lengths])
    )
    checksum = 0
    for byte in header + content:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ 0x104C11DB7) if checksum & 2**31 else checksum << 1
    return header[:22] + struct.pack("<I", checksum) + header[26:] + content


def opus_with_tags(n_tags: int) -> bytes:
    tags = b"OpusTags" + vorbis_comment(n_tags)
    n_page_bytes = 255 * 255
    pages = [ogg_page(2, 0, b"OpusHead\1\1\0\0\x80\xbb\0\0\0\0\0")]
    for begin in range(0, len(tags), n_page_bytes):
        part = tags[begin : begin + n_page_bytes]
        is_end = begin + n_page_bytes >= len(tags)
        pages.append(ogg_page(1 if begin else 0, len(pages), part, is_end=is_end))
    return b"".join(pages)


def webm_with_tags(n_tags: int) -> bytes:
    """Return a webm with a Tags element of unknown tags right after the beginning of its segment."""
    webm = write_ffmpeg(make_tone(48_000), 48_000, container="webm", codec="libopus")

    def element(name: bytes, content: bytes) -> bytes:
        return name + b"\x01" + len(content).to_bytes(7, "big") + content

    def tag(index: int) -> bytes:
        text = element(b"\x45\xa3", f"{index:06X}".encode()) + element(b"\x44\x87", b"v")
        return element(b"\x73\x73", element(b"\x67\xc8", text))

    segment = webm.index(b"\x18\x53\x80\x67")
    tags = element(b"\x12\x54\xc3\x67", b"".join(map(tag, range(n_tags))))
    return webm[: segment + 4] + b"\x01" + b"\xff" * 7 + tags + webm[segment + 12 :]


def wav_with_empty_chunks() -> bytes:
    return b"RIFF" + struct.pack("<I", 2**31) + b"WAVE" + (b"junk" + bytes(4)) * 3_000_000


def mp4_with_empty_atoms() -> bytes:
    m4a = write_ffmpeg(make_tone(SAMPLE_RATE), SAMPLE_RATE, container="ipod", codec="aac")
    return m4a[:28] + struct.pack(">I4s", 8, b"free") * 10_000_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(flac_with((4, vorbis_comment(20_000))), "more than 10000 tags", id="flac"),
        pytest.param(flac_with(*[(4, vorbis_comment(6_000))] * 2), "more than 10000 tags", id="flac, two blocks"),
        pytest.param(id3(b"") + flac_with((4, vorbis_comment(20_000))), "10000 tags", id="flac after ID3"),
        pytest.param(flac_with(*[(1, b"")] * MAX_FLAC_BLOCKS), "metadata blocks", id="flac blocks"),
        pytest.param(opus_with_tags(20_000), "more than 10000 tags", id="ogg"),
        pytest.param(id3(b"") + opus_with_tags(20_000), "more than 10000 tags", id="ogg after ID3"),
        pytest.param(webm_with_tags(9_000), "more than 600 tags", id="webm"),
        pytest.param(id3(b"") * (MAX_ID3_TAGS + 1) + MP3, "ID3 tags", id="ID3 tags"),
    ],
)
def test_tags_without_end_are_refused_at_once(data: bytes, reason: str) -> None:
    """FFmpeg compares each tag with all others: 1 MB of flac kept one call busy for a minute, and 400 KB of webm
    for a quarter of an hour.
    """
    began_s = time.thread_time()
    with pytest.raises(InvalidAudio, match=reason):
        decode(data)
    assert time.thread_time() - began_s < 1


@pytest.mark.parametrize(
    "make", [pytest.param(wav_with_empty_chunks, id="wav"), pytest.param(mp4_with_empty_atoms, id="mp4")]
)
def test_one_call_into_ffmpeg_has_limited_time(make: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_asr_endpoint.audio.files.MAX_CALL_CPU_S", 0.05)
    data = make()
    began_s = time.thread_time()
    with pytest.raises(InvalidAudio, match=r"takes more than 0\.05 s of computing time"), io.BytesIO(data) as file:
        list(decode_audio(file))
    assert time.thread_time() - began_s < 0.5


def test_usual_tags_and_pictures_are_allowed() -> None:
    picture = struct.pack(">II", 3, 10) + b"image/jpeg" + bytes(20) + bytes(range(256)) * 4_000
    assert (decode(flac_with((4, vorbis_comment(1_000)), (6, picture))) == decode(FLAC)).all()
    assert len(decode(webm_with_tags(100))) == len(decode(webm_with_tags(0)))
    assert (decode(id3(b"TXXX" + bytes(2_000_000)) + MP3) == decode(MP3)).all()
    assert MAX_TAGS > 1_000
