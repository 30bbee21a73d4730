"""Encoded bytes to a waveform: blocks of mono float32 at SAMPLE_RATE, decoded as they are asked for.

libsndfile (soundfile) reads containers of plain samples, FFmpeg (PyAV) everything else and whatever
libsndfile refuses. The bytes decide which. Both read through a Python file, so that nothing of the
upload needs to lie in memory, and both can seek in it, which mp4 with its index at the end needs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

import av
import av.error
import numpy as np
import soundfile

from hf_asr_endpoint.audio.containers import N_SNIFF_BYTES, PCM_CONTAINERS, sniff_container
from hf_asr_endpoint.audio.resample import (
    MAX_SAMPLE_RATE,
    MIN_SAMPLE_RATE,
    Resampler,
    average_channels,
    check_rate_and_channels,
)
from hf_asr_endpoint.errors import InvalidAudio, UnsupportedAudio
from hf_asr_endpoint.types import Waveform

logger = logging.getLogger(__name__)

MAX_DAMAGED_PACKETS = 1_000
"""Damaged packets in a row, without a frame, after which the rest of a file counts as cut off: 20 s of AAC."""

BLOCK_VALUES = 2**18
"""Values (samples × channels) that libsndfile decodes at once: 1 MiB of float32."""

# FFmpeg's demuxers for sound, and for video that carries it. Left out on purpose: those whose files
# name other files or addresses (hls, concat, dash, sdp), which would let an upload open them, and
# those that take any bytes for samples or pictures.
_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,dtshd,eac3,flac,flv,gsm,loas,"
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,nistsphere,ogg,"
    "rm,tak,tta,voc,w64,wav,wv,xwma"
)
_CONTAINER_OPTIONS = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PcmFormat:
    """How to read 16-bit samples that come without any header (media type audio/L16, audio/pcm)."""

    sample_rate: int
    n_channels: int = 1
    byte_order: Literal["LITTLE", "BIG"] = "LITTLE"


def decode_audio(file: BinaryIO, *, pcm: PcmFormat | None = None) -> Iterator[Waveform]:
    """Yield the waveform of a seekable file in blocks, shape = (n_samples,).

    A block may be empty: it is a place where the caller can stop. A damaged packet in the middle is left out, as
    FFmpeg does. When nothing can be decoded, raises InvalidAudio, or UnsupportedAudio when the bytes have no known
    format.
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
        yield from _decode_with_ffmpeg(file, container)


def _open_sound(file: BinaryIO) -> soundfile.SoundFile | None:
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.SoundFileError:
        return None  # A codec that libsndfile lacks, such as MP3 in a wav: FFmpeg may have it.
    if sound.frames == 0:
        sound.close()
        return None  # The length was never filled in, as in a piped wav: FFmpeg reads to the end of the file.
    return sound


def _open_pcm(file: BinaryIO, pcm: PcmFormat) -> soundfile.SoundFile:
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
            f"the audio is said to be 16-bit samples at {pcm.sample_rate} Hz in {pcm.n_channels} channels; "
            f"allowed: {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz in 1 to 1024 channels"
        ) from exc


def _read_sound(sound: soundfile.SoundFile) -> Iterator[Waveform]:
    with sound:
        check_rate_and_channels(sound.samplerate, sound.channels)
        resampler = Resampler(sound.samplerate)
        n_frames = max(1, BLOCK_VALUES // sound.channels)
        try:
            while len(frames := sound.read(n_frames, dtype="float32", always_2d=True)):
                yield resampler.push(average_channels(frames))
        except soundfile.SoundFileError as exc:
            raise InvalidAudio(f"the {sound.format} file is damaged: {exc}") from exc
        yield resampler.flush()


def _decode_with_ffmpeg(file: BinaryIO, container: str | None) -> Iterator[Waveform]:
    try:
        opened = av.open(file, mode="r", options=_CONTAINER_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as exc:
        raise _undecodable(container, reason=_reason(exc)) from exc
    with opened:
        if not opened.streams.audio:
            raise _undecodable(container, reason="it has no audio track")
        decoder = _FrameDecoder(opened)
        yield from decoder.blocks()
        if decoder.n_frames == 0:
            raise _undecodable(container, reason=decoder.last_error or "it has no audio data")
        if decoder.n_errors:
            logger.warning("left out %d damaged packets: %s", decoder.n_errors, decoder.last_error)


class _FrameDecoder:
    """Decodes one container's first audio track, counting frames and errors as it goes."""

    def __init__(self, container: av.container.InputContainer) -> None:
        self._container = container
        self.n_frames = 0
        self.n_errors = 0
        self.last_error = ""

    def blocks(self) -> Iterator[Waveform]:
        converter: _FrameConverter | None = None
        for frame in self._frames():
            if frame is None:
                yield np.zeros(0, np.float32)
                continue
            self.n_frames += 1
            if converter is None or not converter.takes(frame):
                # Channels or sample format may change in mid-stream: legal in flac and ogg.
                if converter is not None:
                    yield converter.flush()
                converter = _FrameConverter(frame)
            yield converter.push(frame)
        if converter is not None:
            yield converter.flush()

    def _frames(self) -> Iterator[av.AudioFrame | None]:
        """Yield the frames, and None for each damaged packet."""
        n_damaged = 0  # since the last frame
        packets = self._container.demux(self._container.streams.audio[0])
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError as exc:
                self._count(exc)  # The container is cut off or damaged here: what came before it stands.
                return
            try:
                frames = packet.decode()
            except av.error.FFmpegError as exc:
                self._count(exc)
                n_damaged += 1
                if n_damaged >= MAX_DAMAGED_PACKETS:
                    return
                yield None
                continue
            for frame in frames:
                if isinstance(frame, av.AudioFrame):
                    n_damaged = 0
                    yield frame

    def _count(self, exc: Exception) -> None:
        self.n_errors += 1
        self.last_error = _reason(exc)


class _FrameConverter:
    """Turns frames of one sample format, channel layout and rate into mono at SAMPLE_RATE.

    Channels are averaged here: FFmpeg's own downmix to float adds them up past full scale.
    """

    def __init__(self, frame: av.AudioFrame) -> None:
        self._format = _frame_format(frame)
        # Interleaved, because PyAV's to_ndarray reads past the planes of a planar frame with 8 channels or more.
        self._to_float = av.AudioResampler(format="flt")
        self._n_channels = frame.layout.nb_channels
        check_rate_and_channels(frame.sample_rate, self._n_channels)
        self._resampler = Resampler(frame.sample_rate)

    def takes(self, frame: av.AudioFrame) -> bool:
        return _frame_format(frame) == self._format

    def push(self, frame: av.AudioFrame) -> Waveform:
        try:
            parts = [part.to_ndarray()[0] for part in self._to_float.resample(frame)]  # (n_samples × n_channels,)
        except av.error.FFmpegError as exc:
            raise InvalidAudio(
                f"the audio's {self._n_channels} channels of {frame.format.name} samples cannot be converted: "
                f"{_reason(exc)}"
            ) from exc
        samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        return self._resampler.push(average_channels(samples.reshape(-1, self._n_channels)))

    def flush(self) -> Waveform:
        return self._resampler.flush()


def _frame_format(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _undecodable(container: str | None, *, reason: str) -> InvalidAudio:
    if container is None:
        return UnsupportedAudio(
            f"the bytes are not audio of a known format ({reason}); allowed: wav, flac, mp3, m4a, mp4, "
            "ogg, opus, webm, aac, amr, aiff, wma and other formats that FFmpeg reads; headerless 16-bit "
            'samples need a media type that describes them, such as "audio/L16; rate=16000"'
        )
    return InvalidAudio(f"the {container} file cannot be decoded: {reason}")


def _reason(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc)
