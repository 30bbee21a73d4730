"""Decoding with FFmpeg (PyAV): a seekable file to blocks of mono float32 at SAMPLE_RATE.

Decodes one audio track. Knows how files are damaged, and how much work FFmpeg may spend on one that is.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator

import av
import av.error
import numpy as np

from hf_asr_endpoint.audio.clock import Placed, Timeline
from hf_asr_endpoint.audio.declared_length import DeclaredLength
from hf_asr_endpoint.audio.files import BoundedInput, SeekableFile, SideView
from hf_asr_endpoint.audio.frame_count import FrameCount
from hf_asr_endpoint.audio.frames import FrameGatherer, reason_of
from hf_asr_endpoint.audio.lookahead import SELF_TIMED, count_seconds
from hf_asr_endpoint.audio.tracks import check_track, find_speech, read_packets
from hf_asr_endpoint.errors import InvalidAudio, UnsupportedAudio
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

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

_BARE_FRAMES = frozenset({"aac", "ac3", "amr", "amrnb", "amrwb", "dts", "dtshd", "eac3", "gsm", "loas", "mp3"})
"""Formats without times, as FFmpeg calls them."""

_ZERO_BASED = frozenset({"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "avi", "flv", "asf"})
"""Containers whose times begin at 0, as FFmpeg calls them: audio that begins later is preceded by silence. In
others the first time means nothing, as in a transport stream cut out of a broadcast."""

MAX_DECODER_DELAY_S = 0.25

LOOK_AHEAD_AFTER_S = 600.0
"""Decoded audio after which the rest is scanned, so that hours of silence are refused before they are decoded."""

LOOK_AHEAD_MARGIN_S = 60.0
"""By how much the scan may be wrong: damaged and trimmed frames."""

MAX_DAMAGED_IN_A_ROW = 5_000
"""Damaged packets without a frame between them after which decoding ends: at the usual 20 ms, 100 s of audio.

A disk error destroys fewer. A file of nothing else has a million packets a megabyte, at about 20 µs each.
"""


def decode_with_ffmpeg(
    file: SeekableFile,
    container: str | None,
    *,
    length: DeclaredLength,
    audio_track: int | None = None,
) -> Iterator[Waveform]:
    """Yield the waveform in blocks, shape = (n_samples,); an empty block is a place where the consumer can stop.

    container: what the file was recognised as, if it was. audio_track: the index among its audio tracks; None
    chooses one. Raises InvalidAudio, or UnsupportedAudio if FFmpeg cannot open a file that was not recognised, and
    InvalidParameter for a track that it does not have.
    """
    source = BoundedInput(file)
    with _open(source, container) as opened:
        if opened.duration is not None and opened.duration >= 0:
            length.seconds = opened.duration / av.time_base
        n_tracks = len(opened.streams.audio)
        check_track(audio_track, n_tracks=n_tracks)
        if audio_track is not None or n_tracks == 1:
            look_ahead = _look_ahead(file, container, length, track=audio_track or 0)
            yield from _decode(opened, source, container, look_ahead, track=audio_track or 0)
            return
        track = yield from _find_speech(opened, source)
    with _open(source, container) as opened:
        look_ahead = _look_ahead(file, container, length, track=track)
        yield from _decode(opened, source, container, look_ahead, track=track)


def _open(source: BoundedInput, container: str | None) -> av.container.InputContainer:
    """Open a file at its beginning. Raises InvalidAudio, also for a file without audio, and UnsupportedAudio."""
    source.seek(0)
    source.begin_call(is_opening=True)
    try:
        opened = av.open(source, mode="r", options=_CONTAINER_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as exc:
        raise _undecodable(container, reason=source.reached_limit or reason_of(exc)) from exc
    if not opened.streams.audio:
        opened.close()
        raise _undecodable(container, reason=source.reached_limit or "it has no audio track")
    return opened


def _find_speech(opened: av.container.InputContainer, source: BoundedInput) -> Generator[Waveform, None, int]:
    """Return the track to decode. The empty blocks are places where the consumer can stop."""
    finding = find_speech(opened)
    while True:
        source.begin_call()
        try:
            next(finding)
        except StopIteration as found:
            return int(found.value)
        yield np.zeros(0, np.float32)


def _look_ahead(
    file: SeekableFile, container: str | None, length: DeclaredLength, *, track: int
) -> Iterator[Waveform]:
    """Tell how long the audio surely is. The empty blocks are places where the consumer can stop."""
    source = BoundedInput(SideView(file))
    try:
        scanned = _open(source, container)
    except InvalidAudio:
        return  # It was opened before: whatever is wrong now, decoding will tell.
    with scanned as opened:
        if opened.format.name not in SELF_TIMED:
            return
        for seconds in count_seconds(opened, track=track, begin_call=source.begin_call):
            length.at_least_s = max(seconds - LOOK_AHEAD_MARGIN_S, 0.0)
            yield np.zeros(0, np.float32)


def _decode(
    opened: av.container.InputContainer,
    source: BoundedInput,
    container: str | None,
    look_ahead: Iterator[Waveform],
    *,
    track: int,
) -> Iterator[Waveform]:
    decoder = _TrackDecoder(opened, source, track=track)
    n_samples = 0
    for block in decoder.blocks():
        yield block
        n_samples += len(block)
        if n_samples > LOOK_AHEAD_AFTER_S * SAMPLE_RATE:
            yield from look_ahead  # Once: it is at its end afterwards.
    if decoder.n_frames == 0:
        raise _undecodable(container, reason=decoder.last_error or "it has no audio data")
    if decoder.n_errors:
        logger.warning("skipped %d damaged packets: %s", decoder.n_errors, decoder.last_error)


class _TrackDecoder:
    """Decodes one audio track and counts frames and errors."""

    def __init__(self, container: av.container.InputContainer, source: BoundedInput, *, track: int) -> None:
        stream = container.streams.audio[track]
        self._packets = read_packets(container, [stream])
        self._source = source
        self._timeline: Timeline[av.AudioFrame] = Timeline(zero_s=_zero_s(container))
        # FFmpeg's decoders of WMA give a frame the time of a later packet.
        self._measures_delay = stream.codec_context is not None and stream.codec_context.name.startswith("wma")
        self._delay_s = 0.0
        self._first_packet_s: float | None = None
        self._frame_count = FrameCount() if container.format.name in _BARE_FRAMES else None
        self._gatherer: FrameGatherer | None = None
        self.n_frames = 0
        self.n_errors = 0
        self.last_error = ""

    def blocks(self) -> Iterator[Waveform]:
        for frames in self._frames_by_packet():
            if not frames:
                yield np.zeros(0, np.float32)
            for frame in frames:
                self.n_frames += 1
                for placed in self._place(frame):
                    yield from self._append(placed)
        for placed in self._timeline.flush():
            yield from self._append(placed)
        if self._gatherer is not None:
            yield from self._gatherer.flush()

    def _place(self, frame: av.AudioFrame) -> list[Placed[av.AudioFrame]]:
        duration_s = frame.samples / max(1, frame.sample_rate)
        if self._frame_count is None:
            start_s = _start_s(frame)
            if self._measures_delay and start_s is not None and self._first_packet_s is not None:
                self._delay_s = min(max(0.0, start_s - self._first_packet_s), MAX_DECODER_DELAY_S)
                self._measures_delay = False
            if start_s is not None:
                start_s -= self._delay_s
        else:
            start_s = self._frame_count.position_s
            self._frame_count.add_frame(duration_s)
        return self._timeline.push(frame, start_s=start_s, duration_s=duration_s)

    def _append(self, placed: Placed[av.AudioFrame]) -> Iterator[Waveform]:
        if self._gatherer is None or not self._gatherer.takes(placed.frame):
            # Channels or sample format may change in the middle of a flac or ogg stream.
            if self._gatherer is not None:
                yield from self._gatherer.flush()
            self._gatherer = FrameGatherer(placed.frame)
        if placed.gap_s > 0:
            yield from self._gatherer.push_silence(placed.gap_s)
        yield from self._gatherer.push(placed.frame, cut_s=placed.cut_s)

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
                self._count(reason_of(exc))  # The container is cut off or damaged here; what came before is kept.
                return
            try:
                if self._measures_delay and self._first_packet_s is None:
                    self._first_packet_s = _start_s(packet)
                frames = [frame for frame in packet.decode() if isinstance(frame, av.AudioFrame)]
            except av.error.FFmpegError as exc:
                self._count(reason_of(exc))
                n_damaged_in_a_row += 1
                frames = []
                if self._frame_count is not None:
                    self._frame_count.add_damaged(packet.size)
            if frames:
                n_damaged_in_a_row = 0
                if self._frame_count is not None:
                    self._frame_count.add_packet(packet.size)
            yield frames

    def _count(self, error: str) -> None:
        self.n_errors += 1
        self.last_error = error


def _zero_s(container: av.container.InputContainer) -> float | None:
    """Return the time at which a file begins, in its own clock; None: that of its first frame."""
    if container.format.name in _ZERO_BASED:
        return 0.0
    if container.format.name in _BARE_FRAMES or container.start_time is None:
        return None
    return container.start_time / av.time_base


def _start_s(timed: av.AudioFrame | av.Packet[av.AudioStream]) -> float | None:
    if timed.pts is None or timed.time_base is None:
        return None
    return timed.pts * timed.time_base.numerator / max(1, timed.time_base.denominator)


def _undecodable(container: str | None, *, reason: str) -> InvalidAudio:
    if container is None:
        return UnsupportedAudio(
            f"the bytes are not audio of a known format ({reason}); allowed: wav, flac, mp3, m4a, mp4, "
            "ogg, opus, webm, aac, amr, aiff, wma and other formats that FFmpeg reads; headerless 16-bit "
            'samples need a media type that describes them, such as "audio/L16; rate=16000"'
        )
    return InvalidAudio(f"the {container} file cannot be decoded: {reason}")
