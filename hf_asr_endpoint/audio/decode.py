"""Encoded bytes to a waveform: blocks of mono float32 at SAMPLE_RATE, decoded when the consumer takes them.

The bytes decide which library reads them: libsndfile (soundfile) the containers of plain samples, FFmpeg (PyAV)
everything else and what libsndfile refuses. Both read through a Python file and seek in it, so that no upload
has to be in memory. Knows no time limit and no speech.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Literal

import soundfile

from hf_asr_endpoint.audio.containers import N_SNIFF_BYTES, PCM_CONTAINERS, sniff_container
from hf_asr_endpoint.audio.ffmpeg import decode_with_ffmpeg
from hf_asr_endpoint.audio.files import SeekableFile
from hf_asr_endpoint.audio.resample import (
    MAX_SAMPLE_RATE,
    MAX_VALUES_PER_S,
    MIN_SAMPLE_RATE,
    WaveformConverter,
)
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.types import Waveform

BLOCK_VALUES = 2**18
"""Values (samples × channels) that libsndfile decodes at once: 1 MiB of float32."""

MAX_PCM_CHANNELS = 1024  # libsndfile's own limit


@dataclass(frozen=True, slots=True, kw_only=True)
class PcmFormat:
    """How to read 16-bit samples without a header (media types audio/L16 and audio/pcm)."""

    sample_rate: int
    n_channels: int = 1
    byte_order: Literal["LITTLE", "BIG"] = "LITTLE"


def decode_audio(file: SeekableFile, *, pcm: PcmFormat | None = None) -> Generator[Waveform]:
    """Yield the waveform of a seekable file in blocks, shape = (n_samples,).

    A block may be empty: the consumer can stop there. Damaged packets are left out, as FFmpeg does. `pcm` is used
    only if the bytes are of no known container. Raises InvalidAudio if nothing can be decoded, or UnsupportedAudio
    if the bytes are of no known audio format either.
    """
    file.seek(0)
    container = sniff_container(file.read(N_SNIFF_BYTES))
    file.seek(0)
    if container in PCM_CONTAINERS and (sound := _open_sound(file)):
        yield from _read_sound(sound)
    elif container is None and pcm is not None:
        yield from _read_sound(_open_pcm(file, pcm))
    else:
        file.seek(0)
        yield from decode_with_ffmpeg(file, container)


def _open_sound(file: SeekableFile) -> soundfile.SoundFile | None:
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.SoundFileError:
        return None  # The codec is one that libsndfile lacks, such as MP3 in a wav: FFmpeg may have it.
    if sound.frames == 0:
        sound.close()
        return None  # The header's length was never filled in, as in a piped wav: FFmpeg reads to the end of file.
    return sound


def _open_pcm(file: SeekableFile, pcm: PcmFormat) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(
            file,
            format="RAW",
            subtype="PCM_16",
            samplerate=pcm.sample_rate,
            channels=pcm.n_channels,
            endian=pcm.byte_order,
        )
    except (soundfile.SoundFileError, OverflowError) as exc:
        raise InvalidAudio(
            f"the audio is declared as 16-bit samples at {pcm.sample_rate} Hz in {pcm.n_channels} channels; "
            f"allowed: {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz in 1 to {MAX_PCM_CHANNELS} channels, "
            f"at most {MAX_VALUES_PER_S} samples a second in all channels together"
        ) from exc


def _read_sound(sound: soundfile.SoundFile) -> Iterator[Waveform]:
    with sound:
        converter = WaveformConverter(sound.samplerate, sound.channels)
        n_frames = max(1, BLOCK_VALUES // sound.channels)
        try:
            while len(frames := sound.read(n_frames, dtype="float32", always_2d=True)):
                yield converter.push(frames)
        except soundfile.SoundFileError as exc:
            raise InvalidAudio(f"the {sound.format} file is damaged: {exc}") from exc
        yield converter.flush()
