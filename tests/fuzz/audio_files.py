"""Short files in many containers and codecs, and what the decoder makes of mutated ones."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.audio.source import EncodedAudio, open_waveform
from hf_asr_endpoint.errors import AsrError
from tests.audio.tones import DATA, Samples, make_tone, write_ffmpeg, write_sound
from tests.fuzz.mutation import mutate

MAX_AUDIO_S = 600.0
UNCHANGED_SHARE = 0.02  # A few files stay as they are: they must be decoded.
DECODED = "decoded"

# Without random numbers, such as Ogg's serials, so that a case is the same in every process.
_EXACT = {"fflags": "+bitexact"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioCase:
    """Bytes to be decoded. pcm, audio_track: as for the decoder. is_valid: whether nobody changed the file."""

    name: str
    data: bytes
    pcm: PcmFormat | None
    audio_track: int | None
    is_valid: bool


@cache
def make_seeds() -> Mapping[str, bytes]:
    """Return a file of each kind, by its name. They are the same in every process."""
    mono, stereo = _sound(16_000), _sound(44_100, n_channels=2, duration_s=0.3)
    full_band, narrow = _sound(48_000), _sound(8_000)
    ffmpeg = partial(write_ffmpeg, options=_EXACT)
    pcm_16 = write_sound(mono, 16_000, container="WAV", subtype="PCM_16")
    return {
        "wav": pcm_16,
        "wav 24": write_sound(stereo, 44_100, container="WAV", subtype="PCM_24"),
        "wav float": ffmpeg(mono, 16_000, container="wav", codec="pcm_f32le"),
        "wav ulaw": write_sound(narrow, 8_000, container="WAV", subtype="ULAW"),
        "wav ima": write_sound(narrow, 8_000, container="WAV", subtype="IMA_ADPCM"),
        "wav mp3": ffmpeg(mono, 16_000, container="wav", codec="libmp3lame"),
        "w64": write_sound(mono, 16_000, container="W64", subtype="PCM_16"),
        "flac": write_sound(mono, 16_000, container="FLAC"),
        "mp3": ffmpeg(stereo, 44_100, container="mp3", codec="libmp3lame"),
        "mp2": ffmpeg(full_band, 48_000, container="mp2", codec="mp2"),
        "vorbis": (DATA / "audio.vorbis.ogg").read_bytes(),  # libsndfile's have random numbers.
        "speex": (DATA / "audio.speex.ogg").read_bytes(),
        "opus": ffmpeg(full_band, 48_000, container="ogg", codec="libopus"),
        "ogg flac": ffmpeg(mono, 16_000, container="ogg", codec="flac"),
        "webm": ffmpeg(full_band, 48_000, container="webm", codec="libopus"),
        "mkv": ffmpeg(full_band, 48_000, container="matroska", codec="aac"),
        "m4a": ffmpeg(stereo, 44_100, container="ipod", codec="aac"),
        "m4a alac": ffmpeg(mono, 16_000, container="ipod", codec="alac"),
        "mp4 in fragments": ffmpeg(
            mono, 16_000, container="mp4", codec="aac", options={**_EXACT, "movflags": "frag_keyframe+empty_moov"}
        ),
        "adts": ffmpeg(mono, 16_000, container="adts", codec="aac"),
        "mpegts": ffmpeg(full_band, 48_000, container="mpegts", codec="mp2"),
        "ac3": ffmpeg(full_band, 48_000, container="ac3", codec="ac3"),
        "aiff": write_sound(mono, 16_000, container="AIFF", subtype="PCM_16"),
        "au": write_sound(narrow, 8_000, container="AU", subtype="ALAW"),
        "caf": write_sound(mono, 16_000, container="CAF", subtype="PCM_16"),
        "wma": ffmpeg(stereo, 44_100, container="asf", codec="wmav2", bit_rate=64_000),
        "amr": ffmpeg(narrow, 8_000, container="amr", codec="libopencore_amrnb", bit_rate=12_200),
        "pcm": pcm_16[44:],
    }


def _sound(sample_rate: int, *, n_channels: int = 1, duration_s: float = 0.5) -> Samples:
    """Return a tone with some noise: encoders write silence and pure tones with hardly a byte."""
    tone = make_tone(sample_rate, gains=(0.8,) * n_channels, duration_s=duration_s)
    noise = np.random.default_rng(1).normal(scale=0.05, size=tone.shape)
    return (tone + noise).astype(np.float32)


def make_case(seed: int, index: int) -> AudioCase:
    """Return a case, which depends on these two numbers alone."""
    rng, seeds = random.Random(f"audio {seed} {index}"), make_seeds()
    name = rng.choice(list(seeds))
    is_valid = rng.random() < UNCHANGED_SHARE
    data = seeds[name] if is_valid else mutate(rng, seeds[name], list(seeds.values()))
    is_pcm = name == "pcm"
    pcm = _make_pcm(rng, is_valid=is_valid) if is_pcm or rng.random() < 0.05 else None
    track = None if is_valid or rng.random() < 0.95 else rng.choice((0, 1, 7))
    return AudioCase(name=name, data=data, pcm=pcm, audio_track=track, is_valid=is_valid)


def _make_pcm(rng: random.Random, *, is_valid: bool) -> PcmFormat:
    if is_valid or rng.random() < 0.5:
        return PcmFormat(sample_rate=16_000)
    return PcmFormat(
        sample_rate=rng.choice((0, 1, 100, 8_000, 16_000, 48_000, 2**31 - 1, 2**31, 9_999_999)),
        n_channels=rng.choice((0, 1, 2, 3, 64, 1_024, 1_025)),
        encoding=rng.choice(("PCM_16", "ULAW", "ALAW")),
        byte_order=rng.choice((None, "LITTLE", "BIG")),
    )


def decode(case: AudioCase) -> str:
    """Return the outcome: DECODED, or the name of the AsrError. Any other exception is a finding."""
    source = EncodedAudio(file=io.BytesIO(case.data), pcm=case.pcm)
    reader = open_waveform(source, max_audio_s=MAX_AUDIO_S, audio_track=case.audio_track)
    try:
        for block in reader:
            if block.ndim != 1 or block.dtype != np.float32 or not np.isfinite(block).all():
                raise ValueError(f"a block has the shape {block.shape}, the type {block.dtype}, or no numbers")
    except AsrError as exc:
        if case.is_valid:
            raise ValueError(f"a file that nobody changed is refused: {exc}") from exc
        if not str(exc):
            raise ValueError(f"{type(exc).__name__} has no message") from exc
        return type(exc).__name__
    finally:
        reader.close()
    return DECODED
