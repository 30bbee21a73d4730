"""A container is recognised by the first bytes of a file."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hf_asr_endpoint.audio.containers import N_SNIFF_BYTES, sniff_container
from tests.audio.tones import DATA, make_tone, write_ffmpeg, write_sound

MONO = make_tone(44_100, duration_s=0.5)
NARROW = make_tone(8_000, duration_s=0.5)


@pytest.mark.parametrize(
    ("subtype", "container", "name"),
    [
        pytest.param("PCM_16", "WAV", "wav", id="wav"),
        pytest.param("PCM_16", "WAVEX", "wav", id="wav extensible"),
        pytest.param("PCM_16", "RF64", "wav", id="rf64"),
        pytest.param("PCM_16", "W64", "w64", id="w64"),
        pytest.param("PCM_16", "AIFF", "aiff", id="aiff"),
        pytest.param("FLOAT", "AIFF", "aiff", id="aifc"),
        pytest.param("PCM_16", "AU", "au", id="au"),
        pytest.param("PCM_16", "NIST", "nist sphere", id="nist sphere"),
        pytest.param("PCM_16", "CAF", "caf", id="caf"),
        pytest.param("PCM_16", "FLAC", "flac", id="flac"),
        pytest.param("VORBIS", "OGG", "ogg", id="ogg"),
    ],
)
def test_sound_files_are_recognised(subtype: str, container: str, name: str) -> None:
    assert sniff_container(write_sound(MONO, 44_100, container=container, subtype=subtype)) == name


@pytest.mark.parametrize(
    ("container", "codec", "name"),
    [
        pytest.param("avi", "libmp3lame", "avi", id="avi"),
        pytest.param("webm", "libopus", "webm", id="webm"),
        pytest.param("matroska", "aac", "webm", id="matroska"),
        pytest.param("ipod", "aac", "mp4", id="m4a"),
        pytest.param("mov", "alac", "mp4", id="mov"),
        pytest.param("amr", "libopencore_amrnb", "amr", id="amr"),
        pytest.param("asf", "wmav2", "wma", id="wma"),
        pytest.param("mpeg", "mp2", "mpeg", id="mpeg"),
        pytest.param("mpegts", "mp2", "mpeg transport stream", id="mpeg transport stream"),
        pytest.param("flv", "libmp3lame", "flv", id="flv"),
        pytest.param("mp3", "libmp3lame", "mp3", id="mp3 with tags"),
        pytest.param("mp2", "mp2", "mp3", id="mpeg layer 2"),
        pytest.param("adts", "aac", "aac", id="aac"),
        pytest.param("ac3", "ac3", "ac3", id="ac3"),
    ],
)
def test_containers_of_ffmpeg_are_recognised(container: str, codec: str, name: str) -> None:
    rate = {"amr": 8_000, "webm": 48_000}.get(container, 44_100)
    samples = NARROW if rate == 8_000 else MONO
    bit_rate = {"amr": 12_200, "wma": 64_000, "asf": 64_000}.get(container)
    assert (
        sniff_container(write_ffmpeg(samples, rate, container=container, codec=codec, bit_rate=bit_rate)) == name
    )


LAYER_2_KBITS_S = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
LAYER_3_KBITS_S = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
LOW_RATE_KBITS_S = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


@pytest.mark.parametrize(
    ("container", "codec", "sample_rate", "bit_rates"),
    [
        pytest.param("mp2", "mp2", 16_000, LOW_RATE_KBITS_S, id="mpeg-2 layer 2, 16000 Hz"),
        pytest.param("mp2", "mp2", 24_000, LOW_RATE_KBITS_S, id="mpeg-2 layer 2, 24000 Hz"),
        pytest.param("mp2", "mp2", 32_000, LAYER_2_KBITS_S, id="mpeg-1 layer 2, 32000 Hz"),
        pytest.param("mp2", "mp2", 48_000, LAYER_2_KBITS_S, id="mpeg-1 layer 2, 48000 Hz"),
        pytest.param("mp3", "libmp3lame", 8_000, LOW_RATE_KBITS_S[:8], id="mpeg-2.5 layer 3, 8000 Hz"),
        pytest.param("mp3", "libmp3lame", 22_050, LOW_RATE_KBITS_S, id="mpeg-2 layer 3, 22050 Hz"),
        pytest.param("mp3", "libmp3lame", 32_000, LAYER_3_KBITS_S, id="mpeg-1 layer 3, 32000 Hz"),
        pytest.param("mp3", "libmp3lame", 44_100, LAYER_3_KBITS_S, id="mpeg-1 layer 3, 44100 Hz"),
    ],
)
def test_mpeg_frames_are_recognised_without_a_tag_before_them(
    container: str, codec: str, sample_rate: int, bit_rates: tuple[int, ...]
) -> None:
    samples = make_tone(sample_rate, gains=(1, 1), duration_s=0.5)
    options = {"id3v2_version": "0", "write_xing": "0"} if container == "mp3" else {}
    for kbits_s in bit_rates:
        data = write_ffmpeg(
            samples, sample_rate, container=container, codec=codec, bit_rate=1_000 * kbits_s, options=options
        )
        assert data[0] == 0xFF
        assert sniff_container(data[:N_SNIFF_BYTES]) == "mp3"


@pytest.mark.parametrize(
    ("header", "n_bytes"),
    [
        pytest.param(b"\xff\xff\xc0\x00", 12 * 384_000 // 44_100 * 4, id="mpeg-1 layer 1"),
        pytest.param(b"\xff\xff\xc2\x00", 12 * 384_000 // 44_100 * 4 + 4, id="mpeg-1 layer 1, padded"),
        pytest.param(b"\xff\xf7\xd0\x00", 12 * 224_000 // 22_050 * 4, id="mpeg-2 layer 1"),
        pytest.param(b"\xff\xfd\x40\x00", 144 * 64_000 // 44_100, id="mpeg-1 layer 2"),
        pytest.param(b"\xff\xf5\x80\x00", 144 * 64_000 // 22_050, id="mpeg-2 layer 2"),
        pytest.param(b"\xff\xfb\x90\x00", 144 * 128_000 // 44_100, id="mpeg-1 layer 3"),
        pytest.param(b"\xff\xfb\x92\x00", 144 * 128_000 // 44_100 + 1, id="mpeg-1 layer 3, padded"),
        pytest.param(b"\xff\xf3\x40\x00", 72 * 32_000 // 22_050, id="mpeg-2 layer 3"),
        pytest.param(b"\xff\xe3\x18\x00", 72 * 8_000 // 8_000, id="mpeg-2.5 layer 3"),
    ],
)
def test_mpeg_frames_are_recognised_when_they_follow_one_another(header: bytes, n_bytes: int) -> None:
    frame = header.ljust(n_bytes, b"\0")
    assert sniff_container(frame + frame) == "mp3"
    assert sniff_container(frame + b"\0" + frame) is None
    other_version = bytes([0xFF, header[1] ^ 0x10]) + frame[2:]
    assert sniff_container(frame + other_version) is None


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(DATA / "malformed" / "smallest.mp3", id="a single mp3 frame"),
        pytest.param(DATA.parent / "jfk.mp3", id="mp3"),
        pytest.param(DATA / "stereo.mp3", id="mp3 at 8000 Hz"),
    ],
)
def test_recorded_mp3_is_recognised(path: Path) -> None:
    assert sniff_container(path.read_bytes()[:N_SNIFF_BYTES]) == "mp3"


def test_recorded_aac_is_recognised() -> None:
    assert sniff_container((DATA / "adts-mpeg4-2.aac").read_bytes()) == "aac"


def zip_archive() -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("speech.wav", write_sound(NARROW, 8_000))
        return file.getvalue()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"R", id="one byte"),
        pytest.param(b"\xff\xfb", id="less than a header"),
        pytest.param(b"RIFF\x24\0\0\0WEBPVP8 ", id="webp"),
        pytest.param(b"And so my fellow Americans " * 40, id="text"),
        pytest.param(("And so my fellow Americans " * 40).encode("utf-16"), id="utf-16 text"),
        pytest.param(b'{"inputs": "UklGRiQAAABXQVZF"}', id="json"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", id="png"),
        pytest.param(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", id="pdf"),
        pytest.param(zip_archive(), id="zip"),
        pytest.param(b"#EXTM3U\n#EXTINF:3,\nspeech.wav\n", id="hls"),
        pytest.param(b"ffconcat version 1.0\nfile speech.wav\n", id="ffconcat"),
        pytest.param(bytes(N_SNIFF_BYTES), id="zeros"),
        pytest.param(b"\xff" * N_SNIFF_BYTES, id="ones"),
        pytest.param(np.random.default_rng(0).bytes(N_SNIFF_BYTES), id="random"),
    ],
)
def test_other_bytes_are_not_recognised(head: bytes) -> None:
    assert sniff_container(head) is None


@pytest.mark.parametrize("dtype", [pytest.param("<i2", id="little-endian"), pytest.param(">i2", id="big-endian")])
@pytest.mark.parametrize(
    "loudest", [pytest.param(4, id="4"), pytest.param(16, id="16"), pytest.param(500, id="500")]
)
def test_quiet_samples_are_not_recognised_as_a_container(dtype: str, loudest: int) -> None:
    """The sample -1 is the bytes ff ff, which begin an MPEG frame as well, and -15 can begin an AAC frame.

    Two such bytes were enough for an mp3, so that some recordings without a header were refused.
    """
    for seed in range(100):
        samples = np.random.default_rng(seed).integers(-loudest, loudest, N_SNIFF_BYTES)
        for first in (-1, -5, -8, -15):
            samples[0] = first
            assert sniff_container(samples.astype(dtype).tobytes()) is None
