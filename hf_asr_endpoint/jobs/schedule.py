"""When a delivery that failed is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

FIRST_DELAY_S = 5.0
LONGEST_DELAY_S = 3600.0
MIN_SHARE = 0.5  # of a delay that remains, at least, after chance has shortened it


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySchedule:
    """Delays that double from the first to the longest, each shortened by chance, until the time is up.

    Chance keeps the results that a receiver missed while it was down from coming back all at once.
    retry_for_s: from the end of the job. chance: a number from 0 to 1.
    """

    retry_for_s: float
    first_delay_s: float = FIRST_DELAY_S
    longest_delay_s: float = LONGEST_DELAY_S
    chance: Callable[[], float] = random.random

    def next_attempt_at(self, *, n_attempts: int, now: float, finished_at: float) -> float | None:
        """Return when to try after so many attempts, in Unix seconds; None: no more."""
        doublings = min(n_attempts - 1, 60)  # More would overflow, and is far beyond the longest.
        delay_s = min(self.first_delay_s * 2**doublings, self.longest_delay_s)
        at = now + delay_s * (MIN_SHARE + (1 - MIN_SHARE) * self.chance())
        return at if at <= finished_at + self.retry_for_s else None
