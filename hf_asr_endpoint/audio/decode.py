"""Encoded bytes to a waveform: blocks of mono float32 at SAMPLE_RATE, decoded when the consumer takes them.

The bytes decide which library reads them: libsndfile (soundfile) the containers of plain samples, FFmpeg (PyAV)
everything else and what libsndfile refuses. Both read through a Python file and seek in it, so that no upload
has to be in memory. Knows no time limit and no speech.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import soundfile

from hf_asr_endpoint.audio.containers import N_SNIFF_BYTES, PCM_CONTAINERS, sniff_container
from hf_asr_endpoint.audio.declared_length import DeclaredLength
from hf_asr_endpoint.audio.ffmpeg import decode_with_ffmpeg
from hf_asr_endpoint.audio.files import SeekableFile, skip_id3_tags
from hf_asr_endpoint.audio.headerless import PcmFormat, with_byte_order
from hf_asr_endpoint.audio.pieces import name_later_piece
from hf_asr_endpoint.audio.resample import (
    MAX_SAMPLE_RATE,
    MAX_VALUES_PER_S,
    MIN_SAMPLE_RATE,
    WaveformConverter,
)
from hf_asr_endpoint.audio.tracks import check_track
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.types import Waveform

BLOCK_VALUES = 2**18
"""Values (samples × channels) that libsndfile decodes at once: 1 MiB of float32."""

_ADDRESSABLE = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
"""Beginnings of the subtypes whose samples all have the same size: reading the last one needs none before it."""

MAX_PCM_CHANNELS = 1024  # libsndfile's own limit


def decode_audio(
    file: SeekableFile,
    *,
    pcm: PcmFormat | None = None,
    audio_track: int | None = None,
    length: DeclaredLength | None = None,
) -> Generator[Waveform]:
    """Yield the waveform of a seekable file in blocks, shape = (n_samples,).

    A block may be empty: the consumer can stop there. Times are the container's: what is damaged or absent is
    silence. `pcm` is used only if the bytes are of no known container. audio_track: the index among the audio
    tracks; None chooses one. length: told before the first block, if the file says it. Raises InvalidAudio if
    nothing can be decoded, UnsupportedAudio if the bytes are of no known audio format either, and InvalidParameter
    for a track that the file does not have.
    """
    length = length or DeclaredLength()
    rest = skip_id3_tags(file)
    head = rest.read(N_SNIFF_BYTES)
    container = sniff_container(head)
    if container is None and rest is not file:
        container, pcm = "mp3", None  # Only mp3 may have anything between a tag and its first frame.
    rest.seek(0)
    if container in PCM_CONTAINERS and (sound := _open_sound(rest)):
        check_track(audio_track, n_tracks=1)
        yield from _read_sound(sound, length)
    elif container is None and pcm is not None:
        check_track(audio_track, n_tracks=1)
        yield from _read_sound(_open_pcm(rest, pcm), length)
    else:
        rest.seek(0)
        try:
            yield from decode_with_ffmpeg(rest, container, audio_track=audio_track, length=length)
        except InvalidAudio as exc:
            if piece := name_later_piece(head):
                raise InvalidAudio(
                    f"the file is a later piece of a recording ({piece}), without the header that is in its first "
                    "piece; allowed: a whole recording, or its pieces joined from the first one on"
                ) from exc
            raise


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
        if not 1 <= pcm.n_channels <= MAX_PCM_CHANNELS:
            raise ValueError
        return soundfile.SoundFile(
            file,
            format="RAW",
            subtype=pcm.encoding,
            samplerate=pcm.sample_rate,
            channels=pcm.n_channels,
            endian=with_byte_order(pcm, file).byte_order or "FILE",
        )
    except (soundfile.SoundFileError, OverflowError, ValueError) as exc:
        raise InvalidAudio(
            f"the audio is declared as samples without a header at {pcm.sample_rate} Hz in {pcm.n_channels} "
            f"channels; allowed: {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz in 1 to {MAX_PCM_CHANNELS} channels, "
            f"at most {MAX_VALUES_PER_S} samples a second in all channels together"
        ) from exc


def _read_sound(sound: soundfile.SoundFile, length: DeclaredLength) -> Iterator[Waveform]:
    with sound:
        length.seconds = sound.frames / sound.samplerate
        if sound.subtype.startswith(_ADDRESSABLE) and _has_last_frame(sound):
            length.at_least_s = length.seconds
        converter = WaveformConverter(sound.samplerate, sound.channels)
        n_frames = max(1, BLOCK_VALUES // sound.channels)
        try:
            while len(frames := sound.read(n_frames, dtype="float32", always_2d=True)):
                yield converter.push(frames)
        except soundfile.SoundFileError as exc:
            raise InvalidAudio(f"the {sound.format} file is damaged: {exc}") from exc
        yield converter.flush()


def _has_last_frame(sound: soundfile.SoundFile) -> bool:
    """Return whether the file is as long as its header says. The next read begins at the beginning."""
    try:
        sound.seek(sound.frames - 1)
        has_last = len(sound.read(1, dtype="float32", always_2d=True)) == 1
        sound.seek(0)
    except soundfile.SoundFileError:
        return False
    return has_last
