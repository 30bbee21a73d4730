from __future__ import annotations

import math
from itertools import pairwise

import pytest

from hf_asr_endpoint.jobs.schedule import RetrySchedule

DAY_S = 86_400.0


def attempts(chance: float) -> list[float]:
    """When a receiver that is always down is tried, from the end of the job on."""
    schedule = RetrySchedule(retry_for_s=DAY_S, chance=lambda: chance)
    times: list[float] = []
    next_at: float | None = 0.0
    while next_at is not None:
        times.append(next_at)
        next_at = schedule.next_attempt_at(n_attempts=len(times), now=next_at)
    return times


def test_delays_double_up_to_an_hour_for_a_day() -> None:
    times = attempts(chance=1.0)
    delays = [later - earlier for earlier, later in pairwise(times)]
    assert delays[:4] == [5, 10, 20, 40]
    assert set(delays[10:]) == {3600.0}
    assert DAY_S - 3600 < attempts(chance=0.5)[-1] <= DAY_S


def test_a_server_that_was_down_for_days_tries_as_often_as_any() -> None:
    """The time from the job's end counted: after a weekend, or a clock that was set, a result got one attempt."""
    schedule = RetrySchedule(retry_for_s=DAY_S, chance=lambda: 1.0)
    assert schedule.next_attempt_at(n_attempts=1, now=30 * DAY_S) == 30 * DAY_S + 5


def test_chance_shortens_a_delay_by_half_at_most() -> None:
    schedule = RetrySchedule(retry_for_s=DAY_S, chance=lambda: 0.0)
    assert schedule.next_attempt_at(n_attempts=1, now=100.0) == 102.5
    assert len({RetrySchedule(retry_for_s=DAY_S).next_attempt_at(n_attempts=9, now=0) for _ in "abc"}) > 1


@pytest.mark.parametrize("n_attempts", [60, 5_000])
def test_many_attempts_do_not_overflow(n_attempts: int) -> None:
    schedule = RetrySchedule(retry_for_s=math.inf, chance=lambda: 1.0)
    assert schedule.next_attempt_at(n_attempts=n_attempts, now=0.0) == 3600.0


def test_no_retries() -> None:
    assert RetrySchedule(retry_for_s=0.0).next_attempt_at(n_attempts=1, now=1.0) is None
