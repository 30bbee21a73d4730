"""The clock of a file: where each decoded frame belongs in time, by what its container says.

Decoders join frames. Where packets are missing, were damaged, or begin late, all that follows would be early.
Knows times only, no samples and no codecs. Work and memory per frame are constant, whatever the times say.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

TOLERANCE_S = 0.05
"""A frame may be this far from its time. Times are rounded in most containers and tremble in recordings of live
streams; filling and cutting at each of them would be audible. The error does not add up: times are compared with
all audio so far."""

MAX_GAP_S = 1_800.0
"""A longer gap is a wrong timestamp: the audio goes on as if there were none. Muted microphones and recorders that
pause make gaps of minutes."""

MAX_OVERLAP_S = 1.0
"""A timestamp that goes further back begins a new recording in the same file: no audio is cut away."""

MAX_CUT_FRACTION = 0.01
"""How much audio may be cut where frames overlap, beyond MAX_OVERLAP_S. More means that they are wrong."""

CONFIRMATION_S = 0.1
"""A jump is believed when the frames behind it agree for so long, or MAX_WAITING of them: a single timestamp may
lie."""

MAX_WAITING = 5

MAX_TIME_S = 1e9
"""A later time, 30 years, is no time: sums with it would not be exact."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed(Generic[T]):
    """A frame, and what is to be done before it is appended to the audio so far.

    gap_s: silence to insert. cut_s: what the audio so far already has of the frame; it may exceed its duration.
    """

    frame: T
    gap_s: float = 0.0
    cut_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    frame: T
    start_s: float | None
    duration_s: float


class Timeline(Generic[T]):
    """Places frames in their order. Holds back a few of them while it decides about a jump."""

    def __init__(self, *, zero_s: float | None) -> None:
        """zero_s: the container's time at which the waveform begins; None: that of the first frame."""
        self._zero_s = zero_s
        self._position_s = 0.0  # of the end of the audio so far
        self._n_cut_s = 0.0
        self._waiting: deque[_Waiting[T]] = deque()

    def push(self, frame: T, *, start_s: float | None, duration_s: float) -> list[Placed[T]]:
        """Return the frames that are placed now, in order. start_s: the container's time, None if it has none."""
        if start_s is not None and not abs(start_s) < MAX_TIME_S:
            start_s = None
        if self._zero_s is None and start_s is not None:
            self._zero_s = start_s - self._position_s
        self._waiting.append(_Waiting(frame, start_s, duration_s))
        return self._place(is_last=False)

    def flush(self) -> list[Placed[T]]:
        """Return the frames that are left."""
        return self._place(is_last=True)

    def _place(self, *, is_last: bool) -> list[Placed[T]]:
        placed = []
        while self._waiting:
            offset_s = self._offset_s(self._waiting[0], self._position_s)
            is_jump = abs(offset_s) > TOLERANCE_S
            if is_jump and not is_last and not self._is_confirmed():
                break
            placed.append(self._place_first(self._agreed_s(offset_s) if is_jump else 0.0))
        return placed

    def _place_first(self, offset_s: float) -> Placed[T]:
        """Place the first waiting frame, which is `offset_s` after the end of the audio so far."""
        first = self._waiting.popleft()
        gap_s = cut_s = 0.0
        if TOLERANCE_S < offset_s <= MAX_GAP_S:
            gap_s = offset_s
        elif offset_s > MAX_GAP_S or offset_s < -MAX_OVERLAP_S:
            assert self._zero_s is not None
            self._zero_s += offset_s
        elif offset_s < -TOLERANCE_S and -offset_s + self._n_cut_s <= self._max_cut_s():
            cut_s = min(-offset_s, first.duration_s)
            self._n_cut_s += cut_s
        self._position_s += gap_s + first.duration_s - cut_s
        return Placed(frame=first.frame, gap_s=gap_s, cut_s=cut_s)

    def _max_cut_s(self) -> float:
        return MAX_OVERLAP_S + MAX_CUT_FRACTION * self._position_s

    def _offset_s(self, waiting: _Waiting[T], position_s: float) -> float:
        """Return how much later than `position_s` a frame begins; 0 if its time is not known."""
        if waiting.start_s is None or self._zero_s is None:
            return 0.0
        return waiting.start_s - self._zero_s - position_s

    def _is_confirmed(self) -> bool:
        n_waiting = len(self._waiting)
        if n_waiting == 1:
            return False
        return n_waiting >= MAX_WAITING or sum(each.duration_s for each in self._waiting) >= CONFIRMATION_S

    def _agreed_s(self, offset_s: float) -> float:
        """Return the part of a jump that the frames behind it agree with: none if they do not jump.

        At the end of the file, there may be no such frames: then a short one is not believed.
        """
        if len(self._waiting) == 1:
            return offset_s if self._waiting[0].duration_s >= CONFIRMATION_S else 0.0
        offsets_s = []
        position_s = self._position_s
        for waiting in self._waiting:
            if waiting.start_s is not None:
                offsets_s.append(self._offset_s(waiting, position_s))
            position_s += waiting.duration_s
        offsets_s.sort()
        n_offsets = len(offsets_s)
        if offset_s > 0:
            return max(0.0, min(offset_s, offsets_s[(n_offsets - 1) // 2]))
        return min(0.0, max(offset_s, offsets_s[n_offsets // 2]))
