"""The audio that requests wait with, how fast it becomes less, and how long a new request is to wait for its turn.

Knows no text and no HTTP.

A recording counts with the length that its file declares, minus what has been transcribed. One that declares none
counts with nothing, and in the wait with the usual length. What is declared may be wrong: it decides who waits,
and nothing else.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from hf_asr_endpoint.errors import Overloaded

SPEED_MEMORY_S = 60.0
"""Seconds of work after which an earlier speed counts a third (1 / e)."""

ASSUMED_SPEED = 10.0
"""Seconds of audio in a second, until enough has been seen: the first windows run side by side, so they end late
and all at once."""

TURN_S = 30.0
"""Seconds of a recording that come before a new one, at most: requests take turns, window by window."""

SPREAD = 1.2
"""How many times the expected wait 19 of 20 requests have at most: texts are of unequal length, and other programs
use the processor. Measured by `make bench-overload`."""

NEWEST_WEIGHT = 0.1  # of the last recording, in the moving average of what comes before others

MIN_RETRY_AFTER_S, MAX_RETRY_AFTER_S = 1, 3600


def check_wait(wait_s: float, max_s: float) -> None:
    """Raise Overloaded for a wait, in seconds, that is longer than the longest allowed one."""
    if wait_s > max_s:
        retry_after_s = _retry_after_s(wait_s - max_s)
        raise Overloaded(
            f"a request may wait {wait_s:.1f} s for its turn now; allowed: {max_s:g} s; try again in "
            f"{retry_after_s} s",
            retry_after_s=retry_after_s,
        )


def _retry_after_s(seconds: float) -> int:
    return min(max(math.ceil(seconds), MIN_RETRY_AFTER_S), MAX_RETRY_AFTER_S)


class Backlog:
    """Counts the recordings that have a place. From any thread."""

    def __init__(
        self, *, max_s: float, max_wait_s: float = math.inf, now: Callable[[], float] = time.monotonic
    ) -> None:
        """max_s: seconds of audio that may wait. max_wait_s: that a recording may have to wait for its turn.

        now: returns seconds that only grow.
        """
        self._max_s = max_s
        self._max_wait_s = max_wait_s
        self._now = now
        self._lock = threading.Lock()
        self._places: set[Place] = set()
        self._usual_turn_s = TURN_S  # of a recording whose length is not known yet
        self._done_s = 0.0  # of audio, fading
        self._busy_s = 0.0  # of time in which there was work, fading likewise
        self._assumed_s = SPEED_MEMORY_S  # of time at the assumed speed, fading likewise
        self._updated_at = now()

    @property
    def waiting_s(self) -> float:
        """Seconds of audio that wait now."""
        with self._lock:
            return self._waiting_s()

    @property
    def wait_s(self) -> float:
        """Seconds that a new request waits for its turn, in 19 of 20 cases at most."""
        with self._lock:
            return self._wait_s()

    @property
    def turn_wait_s(self) -> float:
        """Seconds by which a usual request makes the next one wait longer."""
        with self._lock:
            return self._time_s(self._usual_turn_s)

    @property
    def speed(self) -> float | None:
        """Seconds of audio that were lately transcribed in a second in which there was work; None before any."""
        with self._lock:
            return self._speed()

    def open_place(self, *, is_patient: bool = False) -> Place:
        """Return a place whose recording has no length yet, and need not get one.

        is_patient: the recording neither counts as waiting nor is refused. Raises Overloaded for too long a wait:
        now, because its length would be known only when its turn to be read has come.
        """
        place = Place(self, is_patient=is_patient)
        with self._lock:
            if not is_patient:
                check_wait(self._wait_s(), self._max_wait_s)
            self._update(0.0)
            self._places.add(place)
        return place

    def _declare(self, place: Place, length_s: float) -> None:
        with self._lock:
            waiting_s = self._waiting_s()
            if waiting_s and waiting_s + length_s > self._max_s and not place.is_patient:
                raise self._overloaded(waiting_s, length_s)
            place.length_s = length_s
            self._usual_turn_s += NEWEST_WEIGHT * (min(length_s, TURN_S) - self._usual_turn_s)

    def _overloaded(self, waiting_s: float, length_s: float) -> Overloaded:
        excess_s = min(waiting_s, waiting_s + length_s - self._max_s)
        retry_after_s = _retry_after_s(excess_s / (self._speed() or 1.0))
        return Overloaded(
            f"{waiting_s:.0f} s of audio are waiting, and this request has {length_s:.0f} s; allowed: "
            f"{self._max_s:g} s in all; try again in {retry_after_s} s",
            retry_after_s=retry_after_s,
        )

    def _advance(self, place: Place, done_s: float) -> None:
        with self._lock:
            newly_s = max(done_s - place.done_s, 0.0)
            place.done_s += newly_s
            self._update(newly_s)

    def _leave(self, place: Place) -> None:
        with self._lock:
            self._update(0.0)
            self._places.discard(place)

    def _waiting_s(self) -> float:
        return sum(place.remaining_s for place in self._places if not place.is_patient)

    def _wait_s(self) -> float:
        ahead_s = sum(
            self._usual_turn_s if place.length_s is None else min(place.remaining_s, TURN_S)
            for place in self._places
            if not place.is_patient
        )
        return self._time_s(ahead_s)

    def _time_s(self, audio_s: float) -> float:
        """Return the seconds in which some audio is transcribed, in 19 of 20 cases at most."""
        assumed_s = ASSUMED_SPEED * self._assumed_s  # of audio
        return SPREAD * audio_s * (self._busy_s + self._assumed_s) / (self._done_s + assumed_s)

    def _speed(self) -> float | None:
        return self._done_s / self._busy_s if self._done_s and self._busy_s else None

    def _update(self, newly_s: float) -> None:
        elapsed_s = self._now() - self._updated_at
        self._updated_at += elapsed_s
        if self._places:
            kept = math.exp(-elapsed_s / SPEED_MEMORY_S)
            self._done_s *= kept
            self._assumed_s *= kept
            self._busy_s = self._busy_s * kept + elapsed_s
        self._done_s += newly_s


class Place:
    """One recording in the backlog."""

    def __init__(self, backlog: Backlog, *, is_patient: bool) -> None:
        self._backlog = backlog
        self.is_patient = is_patient
        self.done_s = 0.0
        """Seconds from the beginning that are transcribed."""
        self.length_s: float | None = None
        """Seconds of the whole recording, as declared; None as long as it is not known."""

    @property
    def remaining_s(self) -> float:
        """Seconds that are not transcribed, as far as the length is known."""
        return max((self.length_s or 0.0) - self.done_s, 0.0)

    def declare(self, length_s: float) -> None:
        """Say how long the recording is, once. Raises Overloaded if too much waits already."""
        self._backlog._declare(self, length_s)

    def advance(self, done_s: float) -> None:
        """Say up to where the recording is transcribed, in seconds from its beginning."""
        self._backlog._advance(self, done_s)

    def leave(self) -> None:
        """Give the place up: nothing waits here any more."""
        self._backlog._leave(self)
