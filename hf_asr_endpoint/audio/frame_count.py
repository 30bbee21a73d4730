"""The clock of files that have none: bare frames one after the other, as in mp3 and aac.

FFmpeg counts packets there: a damaged stretch counts as one, and another sample rate in the middle is not seen.
Here the frames' own durations count, and damaged bytes last as long as others do.
"""

from __future__ import annotations

MIN_USUAL_SIZE, MAX_USUAL_SIZE = 0.25, 3.0
"""Of a damaged packet, as a multiple of the mean: such a packet is one frame. A larger one is all that lies
between two frames."""


class FrameCount:
    """Counts the audio in packets, decoded and damaged."""

    def __init__(self) -> None:
        self.position_s = 0.0
        """The time of the next frame, in seconds from the first one."""
        self._n_bytes = 0
        self._n_packets = 0
        self._decoded_s = 0.0

    def add_packet(self, n_bytes: int) -> None:
        """Count the bytes of a packet that was decoded."""
        self._n_bytes += n_bytes
        self._n_packets += 1

    def add_frame(self, duration_s: float) -> None:
        """Count a frame of such a packet."""
        self._decoded_s += duration_s
        self.position_s += duration_s

    def add_damaged(self, n_bytes: int) -> None:
        """Count a packet that was not decoded. Before any that was, nobody knows how long it lasted."""
        if not self._n_bytes:
            return
        size = n_bytes * self._n_packets / self._n_bytes
        n_frames = 1.0 if MIN_USUAL_SIZE <= size <= MAX_USUAL_SIZE else size
        self.position_s += n_frames * self._decoded_s / self._n_packets
