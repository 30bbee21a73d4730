"""Which of a file's audio tracks is decoded. Knows levels, no speech model."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

import av
import av.error
import numpy as np

from hf_asr_endpoint.audio.activity import FRAMES_PER_S, LIVELY_DB, Levels, frame_levels, variation_db
from hf_asr_endpoint.audio.frames import FrameGatherer
from hf_asr_endpoint.errors import InvalidAudio, InvalidParameter
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

PROBE_S = 300.0
"""How much of a file with several tracks is searched for speech. Twelve tracks take some seconds."""

MAX_PROBED_TRACKS = 12

AUDIBLE_DB = -75.0
"""Of the difference between neighbouring samples: quieter sound is the noise of a converter."""

if TYPE_CHECKING:  # PyAV's classes are generic in its type stubs only.
    AudioPacket: TypeAlias = av.Packet[av.AudioStream]

Streams = Sequence[av.AudioStream]
Track = int
"""The index among the file's audio tracks, from 0."""


def check_track(audio_track: int | None, *, n_tracks: int) -> None:
    """Raise InvalidParameter for a track that a file does not have."""
    if audio_track is not None and audio_track >= n_tracks:
        tracks = "1 audio track" if n_tracks == 1 else f"{n_tracks} audio tracks"
        raise InvalidParameter(
            f"audio_track is {audio_track}, but the file has {tracks}; allowed: 0 to {n_tracks - 1}",
            parameter="audio_track",
        )


def order_tracks(streams: Streams) -> list[Track]:
    """Return the tracks by preference: those that are flagged as default, then the others."""
    default = av.stream.Disposition.default
    return sorted(range(len(streams)), key=lambda track: not streams[track].disposition & default)


def read_packets(container: av.container.InputContainer, streams: Streams) -> Iterator[AudioPacket]:
    """Yield the packets of some tracks, at the end one for each that empties its decoder. Raises FFmpegError."""
    # A transport stream may get more streams in its middle. At its end, PyAV's demux looks all of them up in a
    # list that has only those of the beginning; by then it has yielded all that was asked for.
    with contextlib.suppress(IndexError):
        for packet in container.demux(streams):
            yield cast("AudioPacket", packet)


def find_speech(container: av.container.InputContainer) -> Generator[None, None, Track]:
    """Return the first track, by preference, whose beginning sounds like speech; else the first audible one.

    Without either it is the most preferred one. Yields often: there the caller can stop. The container is used up.
    """
    streams = container.streams.audio
    order = order_tracks(streams)[:MAX_PROBED_TRACKS]
    probes = {streams[track].index: _Probe() for track in order}
    preferred = probes[streams[order[0]].index]
    try:
        for packet in read_packets(container, [streams[track] for track in order]):
            yield
            probe = probes[packet.stream.index]
            probe.take(packet)
            if preferred.is_lively or probe.duration_s >= PROBE_S:
                break
    except av.error.FFmpegError:
        pass  # The container is damaged here. What came before decides.
    for probe in probes.values():
        probe.finish()
    # max takes the first of equals, which is the most preferred one.
    return max(order, key=lambda track: probes[streams[track].index].rank)


class _Probe:
    """Listens to the beginning of one track."""

    def __init__(self) -> None:
        self.is_lively = False
        self.is_audible = False
        self.duration_s = 0.0
        self._levels: Levels = np.zeros((0, 1))
        self._gatherer: FrameGatherer | None = None

    @property
    def rank(self) -> int:
        """The more, the likelier it is that this is the speech."""
        return self.is_audible + self.is_lively

    def take(self, packet: AudioPacket) -> None:
        try:
            frames: list[av.AudioFrame] = [frame for frame in packet.decode() if isinstance(frame, av.AudioFrame)]
        except av.error.FFmpegError:
            return
        for frame in frames:
            self.duration_s += frame.samples / max(1, frame.sample_rate)
            if not self.is_lively:
                self._listen(frame)

    def _listen(self, frame: av.AudioFrame) -> None:
        try:
            if self._gatherer is None or not self._gatherer.takes(frame):
                self.finish()
                self._gatherer = FrameGatherer(frame)
            for block in self._gatherer.push(frame):
                self._measure(block)
        except InvalidAudio:
            self._gatherer = None  # A chosen track is used as it is, or refused.

    def finish(self) -> None:
        """Listen to what is left."""
        if self._gatherer is not None:
            for block in self._gatherer.flush():
                self._measure(block)
            self._gatherer = None

    def _measure(self, block: Waveform) -> None:
        if not len(block):
            return
        levels = frame_levels(block[:, None], SAMPLE_RATE)
        self._levels = np.concatenate([self._levels, levels])[-FRAMES_PER_S:]
        self.is_audible |= bool(levels.max() > AUDIBLE_DB)
        self.is_lively |= self.is_audible and bool(variation_db(self._levels)[0] > LIVELY_DB)
