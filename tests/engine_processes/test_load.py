"""Which engine a new request goes to."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.engine_processes.load import Load, least_loaded


def load(**changes: Any) -> Load:
    return Load(**{"n_requests": 0, "n_windows": 0, "n_unreported": 0, "slots": 16, **changes})


def chosen(*loads: Load) -> int:
    return least_loaded(loads)


def test_equal_engines_are_taken_in_order() -> None:
    assert chosen(load(), load()) == 0


def test_a_burst_is_spread_before_engines_tell_anything() -> None:
    given = [0, 0, 0]
    for _ in range(9):
        given[chosen(*(load(n_requests=n, n_unreported=n) for n in given))] += 1
    assert given == [3, 3, 3]


def test_a_long_recording_counts_with_its_windows() -> None:
    long = load(n_requests=1, n_windows=20)
    assert chosen(long, load(n_requests=3, n_windows=3)) == 1
    assert chosen(long, load(n_requests=3, n_windows=20, n_unreported=1)) == 0


def test_requests_whose_audio_is_still_being_read_count() -> None:
    assert chosen(load(n_requests=2), load(n_requests=1, n_windows=1)) == 1


def test_an_engine_with_more_slots_takes_more() -> None:
    assert chosen(load(n_windows=10), load(n_windows=12, slots=32)) == 1


def test_of_equal_ones_that_with_less_audio_is_taken() -> None:
    full = {"n_requests": 1, "n_windows": 20}
    assert chosen(load(**full, waiting_audio_s=3600.0), load(**full, waiting_audio_s=900.0)) == 1
