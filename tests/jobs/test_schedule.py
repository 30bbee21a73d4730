from __future__ import annotations

from itertools import pairwise

import pytest

from hf_asr_endpoint.jobs.schedule import RetrySchedule

DAY_S = 86_400.0


def attempts(chance: float) -> list[float]:
    """When a receiver that is always down is tried, from the end of the job on."""
    schedule = RetrySchedule(retry_for_s=DAY_S, chance=lambda: chance)
    times, next_at = [], 0.0
    while next_at is not None:
        times.append(next_at)
        next_at = schedule.next_attempt_at(n_attempts=len(times), now=next_at, finished_at=0.0)
    return times


def test_delays_double_up_to_an_hour_for_a_day() -> None:
    times = attempts(chance=1.0)
    delays = [later - earlier for earlier, later in pairwise(times)]
    assert delays[:4] == [5, 10, 20, 40]
    assert set(delays[10:]) == {3600.0}
    assert DAY_S - 3600 < times[-1] <= DAY_S


def test_chance_shortens_a_delay_by_half_at_most() -> None:
    schedule = RetrySchedule(retry_for_s=DAY_S, chance=lambda: 0.0)
    assert schedule.next_attempt_at(n_attempts=1, now=100.0, finished_at=100.0) == 102.5
    assert (
        len({RetrySchedule(retry_for_s=DAY_S).next_attempt_at(n_attempts=9, now=0, finished_at=0) for _ in "abc"})
        > 1
    )


@pytest.mark.parametrize("n_attempts", [60, 5_000])
def test_many_attempts_do_not_overflow(n_attempts: int) -> None:
    schedule = RetrySchedule(retry_for_s=DAY_S, chance=lambda: 1.0)
    assert schedule.next_attempt_at(n_attempts=n_attempts, now=0.0, finished_at=0.0) == 3600.0


def test_no_retries() -> None:
    assert RetrySchedule(retry_for_s=0.0).next_attempt_at(n_attempts=1, now=1.0, finished_at=0.0) is None
