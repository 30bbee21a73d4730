"""Decoding with FFmpeg (PyAV): a seekable file to blocks of mono float32 at SAMPLE_RATE.

Decodes the first audio track. Knows how files are damaged, and how much work FFmpeg may spend on one that is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
import numpy as np

from hf_asr_endpoint.audio.files import BoundedInput, SeekableFile
from hf_asr_endpoint.audio.resample import WaveformConverter
from hf_asr_endpoint.errors import InvalidAudio, UnsupportedAudio
from hf_asr_endpoint.types import Waveform

logger = logging.getLogger(__name__)

# FFmpeg's demuxers for audio, and for video that has audio. Two kinds are left out on purpose: those whose files
# name other files or addresses (hls, concat, dash, sdp), which would let an upload open them, and those that
# take any bytes for samples or pictures.
_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,dtshd,eac3,flac,flv,gsm,loas,"
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,nistsphere,ogg,"
    "rm,tak,tta,voc,w64,wav,wv,xwma"
)
_CONTAINER_OPTIONS = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}

MAX_DAMAGED_IN_A_ROW = 5_000
"""Damaged packets without a frame between them after which decoding ends: at the usual 20 ms, 100 s of audio.

A disk error destroys fewer. A file of nothing else has a million packets a megabyte, at about 20 µs each.
"""

MAX_GATHERED_FRAMES = 64
"""Frames that become one block: 1 to 2 s of most codecs. Tiny frames must not hold up the consumer."""

_TIME_BASE = Fraction(1, 1)


def decode_with_ffmpeg(file: SeekableFile, container: str | None) -> Iterator[Waveform]:
    """Yield the waveform in blocks, shape = (n_samples,); an empty block is a place where the consumer can stop.

    container: what the file was recognised as, if it was. Raises InvalidAudio, or UnsupportedAudio if FFmpeg
    cannot open a file that was not recognised.
    """
    source = BoundedInput(file)
    source.begin_call(is_opening=True)
    try:
        opened = av.open(source, mode="r", options=_CONTAINER_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as exc:
        raise _undecodable(container, reason=source.reached_limit or _reason(exc)) from exc
    with opened:
        if not opened.streams.audio:
            raise _undecodable(container, reason=source.reached_limit or "it has no audio track")
        decoder = _TrackDecoder(opened, source)
        yield from decoder.blocks()
        if decoder.n_frames == 0:
            raise _undecodable(container, reason=decoder.last_error or "it has no audio data")
        if decoder.n_errors:
            logger.warning("skipped %d damaged packets: %s", decoder.n_errors, decoder.last_error)


class _TrackDecoder:
    """Decodes a container's first audio track and counts frames and errors."""

    def __init__(self, container: av.container.InputContainer, source: BoundedInput) -> None:
        self._packets = container.demux(container.streams.audio[0])
        self._source = source
        self.n_frames = 0
        self.n_errors = 0
        self.last_error = ""

    def blocks(self) -> Iterator[Waveform]:
        gatherer: _FrameGatherer | None = None
        for frames in self._frames_by_packet():
            if not frames:
                yield np.zeros(0, np.float32)
            for frame in frames:
                self.n_frames += 1
                if gatherer is None or not gatherer.takes(frame):
                    # Channels or sample format may change in the middle of a flac or ogg stream.
                    if gatherer is not None:
                        yield from gatherer.flush()
                    gatherer = _FrameGatherer(frame)
                yield from gatherer.push(frame)
        if gatherer is not None:
            yield from gatherer.flush()

    def _frames_by_packet(self) -> Iterator[list[av.AudioFrame]]:
        """Yield each packet's frames, an empty list for a damaged packet, until the file ends or is lost."""
        n_damaged_in_a_row = 0
        while n_damaged_in_a_row < MAX_DAMAGED_IN_A_ROW:
            self._source.begin_call()
            try:
                packet = next(self._packets)
            except StopIteration:
                if self._source.reached_limit:
                    self._count(self._source.reached_limit)
                return
            except av.error.FFmpegError as exc:
                self._count(_reason(exc))  # The container is cut off or damaged here; what came before is kept.
                return
            try:
                frames = [frame for frame in packet.decode() if isinstance(frame, av.AudioFrame)]
            except av.error.FFmpegError as exc:
                self._count(_reason(exc))
                n_damaged_in_a_row += 1
                frames = []
            if frames:
                n_damaged_in_a_row = 0
            yield frames

    def _count(self, error: str) -> None:
        self.n_errors += 1
        self.last_error = error


class _FrameGatherer:
    """Gathers frames of one sample format, channel layout and rate to blocks of about a second, and converts them.

    Gathering saves the conversion's overhead for each frame, most of the work for silence. Channels are averaged
    here, because FFmpeg's own downmix to float adds them up beyond full scale.
    """

    def __init__(self, frame: av.AudioFrame) -> None:
        self._format = _frame_format(frame)
        self._n_channels = frame.layout.nb_channels
        self._converter = WaveformConverter(frame.sample_rate, self._n_channels)
        self._block_samples = frame.sample_rate
        self._fifo = av.AudioFifo()
        self._n_frames = 0  # in the fifo
        # Interleaved, because PyAV's to_ndarray reads past the planes of a planar frame with 8 channels or more.
        self._to_float = av.AudioResampler(format="flt")

    def takes(self, frame: av.AudioFrame) -> bool:
        return _frame_format(frame) == self._format

    def push(self, frame: av.AudioFrame) -> Iterator[Waveform]:
        frame.pts, frame.time_base = None, _TIME_BASE  # The fifo refuses gaps and changes in a stream's times.
        self._fifo.write(frame)
        self._n_frames += 1
        while self._fifo.samples >= self._block_samples:
            yield self._convert(self._block_samples)
        if self._n_frames >= MAX_GATHERED_FRAMES:
            yield self._convert(self._fifo.samples)

    def flush(self) -> Iterator[Waveform]:
        yield self._convert(self._fifo.samples)
        yield self._converter.flush()

    def _convert(self, n_samples: int) -> Waveform:
        self._n_frames = 0
        frame = self._fifo.read(n_samples) if n_samples else None
        if frame is None:
            return np.zeros(0, np.float32)
        try:
            parts = [part.to_ndarray()[0] for part in self._to_float.resample(frame)]  # (n_samples × n_channels,)
        except av.error.FFmpegError as exc:
            raise InvalidAudio(
                f"the audio's {self._n_channels} channels of {frame.format.name} samples cannot be converted: "
                f"{_reason(exc)}"
            ) from exc
        return self._converter.push(np.concatenate(parts).reshape(-1, self._n_channels))


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
