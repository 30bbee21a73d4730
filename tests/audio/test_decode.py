"""Every container and codec is decoded: a tone of known pitch keeps its pitch, amplitude and length."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import (
    AMPLITUDE,
    DURATION_S,
    PITCH_HZ,
    amplitude,
    decode,
    make_tone,
    pitch_hz,
    write_ffmpeg,
    write_sound,
)

N_SAMPLES = round(DURATION_S * SAMPLE_RATE)


def assert_is_the_tone(waveform: Waveform, *, relative: float, extra_s: float = 0.0) -> None:
    """Check pitch, amplitude (relative error) and length (extra_s: seconds that an encoder may add)."""
    assert N_SAMPLES <= len(waveform) <= N_SAMPLES + extra_s * SAMPLE_RATE
    assert pitch_hz(waveform) == pytest.approx(PITCH_HZ, abs=1.0)
    assert amplitude(waveform) == pytest.approx(AMPLITUDE, rel=relative)


@pytest.mark.parametrize("sample_rate", [8_000, 44_100])
@pytest.mark.parametrize(
    ("container", "subtype", "relative"),
    [
        pytest.param("WAV", "PCM_U8", 0.01, id="wav 8 bit"),
        pytest.param("WAV", "PCM_16", 0.001, id="wav 16 bit"),
        pytest.param("WAV", "PCM_24", 0.001, id="wav 24 bit"),
        pytest.param("WAV", "PCM_32", 0.001, id="wav 32 bit"),
        pytest.param("WAV", "FLOAT", 0.001, id="wav float"),
        pytest.param("WAV", "DOUBLE", 0.001, id="wav double"),
        pytest.param("WAV", "ALAW", 0.02, id="wav a-law"),
        pytest.param("WAV", "ULAW", 0.02, id="wav mu-law"),
        pytest.param("WAVEX", "PCM_16", 0.001, id="wav extensible 16 bit"),
        pytest.param("WAVEX", "FLOAT", 0.001, id="wav extensible float"),
        pytest.param("RF64", "PCM_16", 0.001, id="rf64"),
        pytest.param("W64", "PCM_24", 0.001, id="w64"),
        pytest.param("AU", "PCM_16", 0.001, id="au"),
        pytest.param("AU", "ULAW", 0.02, id="au mu-law"),
        pytest.param("CAF", "PCM_16", 0.001, id="caf"),
        pytest.param("CAF", "ALAC_16", 0.001, id="caf alac"),
        pytest.param("FLAC", "PCM_16", 0.001, id="flac 16 bit"),
        pytest.param("FLAC", "PCM_24", 0.001, id="flac 24 bit"),
        pytest.param("AIFF", "PCM_S8", 0.01, id="aiff 8 bit"),
        pytest.param("AIFF", "PCM_16", 0.001, id="aiff 16 bit"),
        pytest.param("AIFF", "FLOAT", 0.001, id="aifc float"),
        pytest.param("NIST", "PCM_16", 0.001, id="nist sphere"),
        pytest.param("VOC", "PCM_16", 0.001, id="voc"),
    ],
)
def test_samples_in_any_container_keep_pitch_amplitude_and_length(
    container: str, subtype: str, relative: float, sample_rate: int
) -> None:
    data = write_sound(make_tone(sample_rate), sample_rate, container=container, subtype=subtype)
    assert_is_the_tone(decode(data), relative=relative)


@pytest.mark.parametrize(
    ("subtype", "sample_rate"),
    [
        pytest.param("IMA_ADPCM", 8_000, id="ima adpcm, 8000 Hz"),
        pytest.param("IMA_ADPCM", 44_100, id="ima adpcm, 44100 Hz"),
        pytest.param("MS_ADPCM", 8_000, id="ms adpcm, 8000 Hz"),
        pytest.param("MS_ADPCM", 44_100, id="ms adpcm, 44100 Hz"),
        pytest.param("GSM610", 8_000, id="gsm"),
        pytest.param("G721_32", 8_000, id="g721"),
    ],
)
def test_compressed_wav_is_padded_to_its_last_block(subtype: str, sample_rate: int) -> None:
    data = write_sound(make_tone(sample_rate), sample_rate, subtype=subtype)
    assert_is_the_tone(decode(data), relative=0.05, extra_s=0.15)


@pytest.mark.parametrize(
    "gains",
    [
        pytest.param((1,), id="mono"),
        pytest.param((1, 1), id="stereo"),
        pytest.param((1,) * 6, id="6 channels"),
    ],
)
@pytest.mark.parametrize(
    "sample_rate", [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000]
)
def test_any_rate_and_number_of_channels_becomes_mono_at_16_khz(sample_rate: int, gains: Sequence[float]) -> None:
    assert_is_the_tone(decode(write_sound(make_tone(sample_rate, gains=gains), sample_rate)), relative=0.001)


@pytest.mark.parametrize(
    ("container", "codec", "sample_rate", "bit_rate"),
    [
        pytest.param("ipod", "aac", 44_100, 128_000, id="m4a, its index at the end"),
        pytest.param("mp4", "aac", 44_100, 128_000, id="mp4"),
        pytest.param("mov", "alac", 44_100, None, id="mov with alac"),
        pytest.param("mov", "pcm_s16le", 44_100, None, id="mov with samples"),
        pytest.param("3gp", "aac", 16_000, 64_000, id="3gp"),
        pytest.param("asf", "wmav2", 44_100, 128_000, id="wma"),
        pytest.param("mp3", "libmp3lame", 44_100, 128_000, id="mp3"),
        pytest.param("wav", "libmp3lame", 44_100, 128_000, id="mp3 in wav"),
        pytest.param("wav", "adpcm_ima_wav", 44_100, None, id="ima adpcm in wav"),
        pytest.param("mp2", "mp2", 48_000, 192_000, id="mp2"),
        pytest.param("mpeg", "mp2", 48_000, 192_000, id="mpeg"),
        pytest.param("mpegts", "aac", 44_100, 128_000, id="mpeg transport stream"),
        pytest.param("adts", "aac", 44_100, 128_000, id="aac"),
        pytest.param("ac3", "ac3", 48_000, 192_000, id="ac3"),
        pytest.param("flv", "aac", 44_100, 128_000, id="flv"),
        pytest.param("avi", "libmp3lame", 44_100, 128_000, id="avi"),
        pytest.param("matroska", "aac", 44_100, 128_000, id="mkv with aac"),
        pytest.param("matroska", "flac", 44_100, None, id="mkv with flac"),
        pytest.param("matroska", "pcm_s16le", 44_100, None, id="mkv with samples"),
        pytest.param("webm", "libopus", 48_000, 64_000, id="webm"),
        pytest.param("ogg", "libopus", 48_000, 64_000, id="ogg with opus"),
        pytest.param("ogg", "flac", 44_100, None, id="ogg with flac"),
        pytest.param("wv", "wavpack", 44_100, None, id="wavpack"),
        pytest.param("tta", "tta", 44_100, None, id="tta"),
    ],
)
def test_codecs_of_ffmpeg_keep_pitch_amplitude_and_length(
    container: str, codec: str, sample_rate: int, bit_rate: int | None
) -> None:
    # Encoders add up to a few frames of silence at both ends, and WMA drops its last incomplete frame.
    tone = make_tone(sample_rate, duration_s=DURATION_S + (0.1 if codec == "wmav2" else 0))
    data = write_ffmpeg(tone, sample_rate, container=container, codec=codec, bit_rate=bit_rate)
    assert_is_the_tone(decode(data), relative=0.05, extra_s=0.15)


def test_amr_keeps_the_pitch() -> None:
    tone = make_tone(8_000)
    data = write_ffmpeg(tone, 8_000, container="amr", codec="libopencore_amrnb", bit_rate=12_200)
    # The codec models a voice; a tone gets quieter.
    assert_is_the_tone(decode(data), relative=0.2, extra_s=0.15)


@pytest.mark.parametrize(
    ("options", "is_index_first"),
    [
        pytest.param({}, False, id="index at the end"),
        pytest.param({"movflags": "faststart"}, True, id="index at the beginning"),
        pytest.param({"movflags": "frag_keyframe+empty_moov"}, True, id="fragmented"),
    ],
)
def test_m4a_is_read_wherever_its_index_is(tmp_path: Path, options: dict[str, str], is_index_first: bool) -> None:
    data = write_ffmpeg(
        make_tone(44_100), 44_100, container="ipod", codec="aac", file=tmp_path / "tone.m4a", options=options
    )
    assert (data.index(b"moov") < data.index(b"mdat")) is is_index_first
    assert_is_the_tone(decode(data), relative=0.05, extra_s=0.15)


def test_webm_without_a_duration_is_read_to_its_end() -> None:
    data = write_ffmpeg(make_tone(48_000), 48_000, container="webm", codec="libopus", options={"live": "1"})
    with av.open(io.BytesIO(data)) as written:
        assert written.duration is None
    assert_is_the_tone(decode(data), relative=0.05, extra_s=0.15)


def test_the_audio_track_of_a_video_is_read() -> None:
    data = write_ffmpeg(make_tone(44_100), 44_100, container="matroska", codec="aac", with_picture=True)
    assert_is_the_tone(decode(data), relative=0.05, extra_s=0.15)


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_an_id3_tag_before_any_container_is_skipped(container: str) -> None:
    data = write_sound(make_tone(SAMPLE_RATE), SAMPLE_RATE, container=container)
    tag = b"ID3\x04\0\0\0\0\0\x0aTIT2" + bytes(6)
    np.testing.assert_array_equal(decode(tag + data), decode(data))


def test_a_chained_ogg_is_read_to_its_end() -> None:
    links = [
        write_sound(make_tone(44_100, pitch_hz=pitch), 44_100, container="OGG", subtype="VORBIS")
        for pitch in (300, 600)
    ]
    waveform = decode(b"".join(links))
    assert len(waveform) == pytest.approx(2 * N_SAMPLES, abs=0.1 * SAMPLE_RATE)
    assert pitch_hz(waveform[:SAMPLE_RATE]) == pytest.approx(300, abs=1)
    assert pitch_hz(waveform[-SAMPLE_RATE:]) == pytest.approx(600, abs=1)


@pytest.mark.parametrize(
    ("container", "codec", "sample_rates"),
    [
        pytest.param("adts", "aac", (22_050, 44_100), id="aac"),
        pytest.param("mp3", "libmp3lame", (22_050, 44_100), id="mp3"),
        pytest.param("ac3", "ac3", (32_000, 48_000), id="ac3"),
    ],
)
def test_rate_and_channels_may_change_within_a_stream(
    container: str, codec: str, sample_rates: tuple[int, int]
) -> None:
    mono = write_ffmpeg(make_tone(sample_rates[0]), sample_rates[0], container=container, codec=codec)
    stereo = write_ffmpeg(
        make_tone(sample_rates[1], gains=(1, 0.5), pitch_hz=880), sample_rates[1], container=container, codec=codec
    )
    waveform = decode(mono + stereo)
    assert len(waveform) == pytest.approx(2 * N_SAMPLES, abs=0.2 * SAMPLE_RATE)
    assert amplitude(waveform[:SAMPLE_RATE]) == pytest.approx(AMPLITUDE, rel=0.06)
    assert pitch_hz(waveform[:SAMPLE_RATE]) == pytest.approx(PITCH_HZ, abs=1)
    assert amplitude(waveform[-SAMPLE_RATE:]) == pytest.approx(0.75 * AMPLITUDE, rel=0.06)
    assert pitch_hz(waveform[-SAMPLE_RATE:]) == pytest.approx(880, abs=1)
