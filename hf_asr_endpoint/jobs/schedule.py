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
    retry_for_s: what all delays come to, on the average. The clock does not count, so that a result that has
    waited for its server to start again, or for the clock to be set, gets as many attempts as any other.
    chance: a number from 0 to 1.
    """

    retry_for_s: float
    first_delay_s: float = FIRST_DELAY_S
    longest_delay_s: float = LONGEST_DELAY_S
    chance: Callable[[], float] = random.random

    def next_attempt_at(self, *, n_attempts: int, now: float) -> float | None:
        """Return when to try after so many attempts, in Unix seconds; None: no more."""
        delays_s = [self._delay_s(number, chance=0.5) for number in range(n_attempts)]
        if sum(delays_s) > self.retry_for_s:
            return None
        return now + self._delay_s(n_attempts - 1, chance=self.chance())

    def _delay_s(self, number: int, *, chance: float) -> float:
        """Return one of the delays, counted from 0."""
        doublings = min(number, 60)  # More would overflow, and is far beyond the longest.
        delay_s = min(self.first_delay_s * 2.0**doublings, self.longest_delay_s)
        return delay_s * (MIN_SHARE + (1 - MIN_SHARE) * chance)
