"""Bytes that are not audio, damaged audio, and scripts that name other files are refused."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from hf_asr_endpoint.errors import InvalidAudio, UnsupportedAudio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import DATA, decode, make_tone, write_ffmpeg, write_sound

TONE = make_tone(SAMPLE_RATE)
IN_OPEN = 0x20  # the event of inotify(7)


def make_png() -> bytes:
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 16, 16, "rgb24"
    encoder.time_base = Fraction(1)
    return b"".join(bytes(packet) for packet in encoder.encode(av.VideoFrame(16, 16, "rgb24")))


def make_zip() -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("speech.wav", write_sound(TONE, SAMPLE_RATE))
        return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"R", id="one byte"),
        pytest.param(b"RIFF", id="four bytes"),
        pytest.param(b"And so my fellow Americans " * 1_000, id="text"),
        pytest.param(("And so my fellow Americans " * 1_000).encode("utf-16"), id="utf-16 text"),
        pytest.param(b"<!doctype html><title>413</title>" * 100, id="html"),
        pytest.param(b'{"inputs": "UklGRiQAAABXQVZF"}', id="json"),
        pytest.param(make_png(), id="png"),
        pytest.param(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj <</Type /Catalog>> endobj\n%%EOF\n", id="pdf"),
        pytest.param(make_zip(), id="zip"),
        pytest.param(bytes(100_000), id="zeros"),
        pytest.param(b"\xff" * 100_000, id="ones"),
        *(pytest.param(np.random.default_rng(seed).bytes(50_000), id=f"random {seed}") for seed in range(5)),
    ],
)
def test_bytes_that_are_not_audio_are_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedAudio, match="not audio of a known format"):
        decode(data)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[io.BufferedIOBase]:
    """The kernel's events for files that are opened in a folder with speech.wav, speech.ts and speech.mp3."""
    (tmp_path / "speech.wav").write_bytes(write_sound(TONE, SAMPLE_RATE))
    (tmp_path / "speech.ts").write_bytes(write_ffmpeg(TONE, SAMPLE_RATE, container="mpegts", codec="aac"))
    (tmp_path / "speech.mp3").write_bytes(write_ffmpeg(TONE, SAMPLE_RATE, container="mp3", codec="libmp3lame"))
    kernel = ctypes.CDLL(None)
    descriptor = kernel.inotify_init1(os.O_NONBLOCK)
    assert kernel.inotify_add_watch(descriptor, os.fsencode(tmp_path), IN_OPEN) >= 0
    with contextlib.chdir(tmp_path), open(descriptor, "rb", buffering=0) as events:
        yield events


@pytest.mark.skipif(sys.platform != "linux", reason="inotify exists on Linux only")
@pytest.mark.parametrize(
    ("script", "name"),
    [
        pytest.param("ffconcat version 1.0\nfile {name}\n", "speech.wav", id="ffconcat"),
        pytest.param("ffconcat version 1.0\nfile '{folder}/{name}'\n", "speech.wav", id="ffconcat, absolute"),
        pytest.param(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{name}\n#EXT-X-ENDLIST\n", "speech.ts", id="hls"
        ),
        pytest.param(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{folder}/{name}\n#EXT-X-ENDLIST\n",
            "speech.ts",
            id="hls, absolute",
        ),
        pytest.param("#EXTM3U\n{folder}/{name}\n", "speech.mp3", id="m3u"),
    ],
)
def test_a_script_that_names_a_file_is_refused_and_the_file_is_not_opened(
    script: str, name: str, tmp_path: Path, opened: io.BufferedIOBase
) -> None:
    with pytest.raises(UnsupportedAudio):
        decode(script.format(folder=tmp_path, name=name).encode())
    assert opened.read() is None
    (tmp_path / name).read_bytes()
    assert name.encode() in opened.read()  # An opened file has an event.


MALFORMED = sorted((DATA / "malformed").iterdir())
DECODABLE = {
    "claxon-5b004788.flac": 0.002,
    "smallest_with_audio.mp4": 0.046,
    "wrong-number-of-channels.flac": 4.058,
}
"""Seconds that can be decoded of malformed files."""


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.name) for path in MALFORMED if path.name not in DECODABLE]
)
def test_a_malformed_file_is_invalid(path: Path) -> None:
    with pytest.raises(InvalidAudio) as caught:
        decode(path.read_bytes())
    assert caught.type is InvalidAudio


@pytest.mark.parametrize(
    ("name", "duration_s"), [pytest.param(name, duration_s, id=name) for name, duration_s in DECODABLE.items()]
)
def test_the_readable_part_of_a_malformed_file_is_decoded(name: str, duration_s: float) -> None:
    waveform = decode((DATA / "malformed" / name).read_bytes())
    assert len(waveform) / SAMPLE_RATE == pytest.approx(duration_s, abs=0.001)


M4A = write_ffmpeg(TONE, SAMPLE_RATE, container="ipod", codec="aac")


def make_silent_film() -> bytes:
    with io.BytesIO() as file:
        with av.open(file, "w", format="matroska") as output:
            picture = output.add_stream("mpeg4", rate=1, width=32, height=32)
            output.mux([*picture.encode(av.VideoFrame(32, 32, "yuv420p")), *picture.encode(None)])
        return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(M4A[: M4A.index(b"moov")], "mp4 file cannot be decoded", id="m4a without its index"),
        pytest.param(make_silent_film(), "no audio track", id="film without sound"),
        pytest.param(
            (DATA / "malformed" / "smallest.webm").read_bytes(), "no audio track", id="webm without sound"
        ),
        pytest.param(write_sound(TONE[:0], SAMPLE_RATE), "no audio data", id="wav without samples"),
        pytest.param(b"OggS" + bytes(1_000), "ogg file cannot be decoded", id="zeros after OggS"),
        pytest.param(b"fLaC" + b"\xff" * 1_000, "flac file cannot be decoded", id="ones after fLaC"),
        pytest.param(b"ID3\x04" + bytes(1_000), "mp3 file cannot be decoded", id="zeros after ID3"),
    ],
)
def test_the_error_for_damaged_audio_has_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidAudio, match=reason) as caught:
        decode(data)
    assert caught.type is InvalidAudio
