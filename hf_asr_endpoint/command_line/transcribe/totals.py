"""How far all recordings together are, how fast it goes, and how long it still takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hf_asr_endpoint.command_line.transcribe.outputs import Work
from hf_asr_endpoint.types import Progress

MIN_FRACTION = 0.01
"""Of the work, from which on the time left can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a recording: its length, or an error."""

    audio_s: float = 0.0
    error: str | None = None


class Totals:
    """Counts. From any thread. A recording's share of the work is that of its bytes: its length is known late."""

    def __init__(self, works: Sequence[Work], *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._n_bytes = sum(work.recording.n_bytes for work in works) or 1
        self._done: dict[
            Work, tuple[float, float]
        ] = {}  # bytes and seconds of recordings that are being worked on
        self._done_bytes = 0.0
        self._audio_s = 0.0
        self._started_s = now()
        self.n_files = len(works)
        self.n_ended = 0
        self.failures: list[tuple[Work, str]] = []

    def start(self) -> None:
        """Begin to measure: what comes before, such as loading the model, is no transcribing."""
        self._started_s = self._now()

    def begin(self, work: Work) -> None:
        """Say that a recording is being worked on."""
        with self._lock:
            self._done[work] = 0.0, 0.0

    def advance(self, work: Work, progress: Progress) -> None:
        """Say how far a recording is."""
        with self._lock:
            if work in self._done:  # It may have ended meanwhile.
                self._set(work, (progress.fraction or 0.0) * work.recording.n_bytes, progress.done_s)

    def end(self, work: Work, outcome: Outcome) -> None:
        """Say what came of a recording."""
        with self._lock:
            self._set(work, work.recording.n_bytes, outcome.audio_s)
            del self._done[work]
            self.n_ended += 1
            if outcome.error is not None:
                self.failures.append((work, outcome.error))

    def _set(self, work: Work, done_bytes: float, done_s: float) -> None:
        before = self._done[work]
        self._done[work] = done_bytes, done_s
        self._done_bytes += done_bytes - before[0]
        self._audio_s += done_s - before[1]

    @property
    def elapsed_s(self) -> float:
        return self._now() - self._started_s

    @property
    def audio_s(self) -> float:
        """Seconds of audio that are transcribed."""
        return max(self._audio_s, 0.0)

    @property
    def speed(self) -> float:
        """Seconds of audio in a second."""
        return self.audio_s / max(self.elapsed_s, 1e-9)

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return min(max(self._done_bytes / self._n_bytes, 0.0), 1.0)

    @property
    def remaining_s(self) -> float | None:
        """Seconds that the rest will take; None as long as nobody can tell."""
        fraction = self.fraction
        return None if fraction < MIN_FRACTION else self.elapsed_s * (1 - fraction) / fraction
