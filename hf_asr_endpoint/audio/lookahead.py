"""How long a file surely is, from its packets, long before they are decoded: a scan is a hundred times as fast.

Only where a packet's duration comes from the frame itself, not from an index that may be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av
import av.error

from hf_asr_endpoint.audio.tracks import read_packets

SELF_TIMED = frozenset({"aac", "ac3", "amr", "amrnb", "amrwb", "eac3", "flac", "mp3", "ogg"})
"""Formats as FFmpeg calls them. Their packets hold frames that say, or share, how many samples they have."""

PACKETS_PER_TURN = 500
"""Packets after which the consumer can stop, at a few microseconds each."""

MAX_FRAME_UNITS = 2**16
"""Of a packet whose duration FFmpeg does not tell, by the time of the next one: a flac frame has at most 65,535
samples. A longer step is a timestamp that lies, or audio that is absent."""


def count_seconds(
    opened: av.container.InputContainer, *, track: int, begin_call: Callable[[], None]
) -> Iterator[float]:
    """Yield the seconds of the packets so far, again and again, up to the file's end or its first error."""
    stream = opened.streams.audio[track]
    unit_s = float(stream.time_base or 0)
    packets = read_packets(opened, [stream])
    units, n_packets = 0, 0
    previous_pts: int | None = None
    while True:
        begin_call()
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            break
        step = 0 if packet.pts is None or previous_pts is None else packet.pts - previous_pts
        previous_pts = packet.pts
        units += packet.duration or (step if 0 < step < MAX_FRAME_UNITS else 0)
        n_packets += 1
        if n_packets % PACKETS_PER_TURN == 0:
            yield units * unit_s
    yield units * unit_s
