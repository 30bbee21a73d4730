"""Sequences of several slots, such as searches with beams, among those of one."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.engine.scheduler import Scheduler
from hf_asr_endpoint.engine.sequence import Request
from tests.engine.sequences import LONG, admit_all, end, requests_of, submit


def test_a_sequence_gets_all_its_slots_at_once_or_none() -> None:
    scheduler = Scheduler(slots=6)
    singles = [submit(scheduler, Request(), 1)[0] for _ in range(3)]
    (wide,) = submit(scheduler, Request(), 1, n_slots=4)
    assert admit_all(scheduler) == singles
    assert (wide.slots, wide.slot) == ((), None)
    end(scheduler, singles[1])
    assert admit_all(scheduler) == [wide]
    assert (wide.slots, wide.slot) == ((1, 3, 4, 5), 1)
    end(scheduler, wide)
    again = [submit(scheduler, Request(), 1)[0] for _ in range(4)]
    assert admit_all(scheduler) == again
    assert [sequence.slots for sequence in again] == [(1,), (3,), (4,), (5,)]


def test_smaller_sequences_overtake_a_wide_one_that_is_next_in_the_reserved_slots_only() -> None:
    """A clip waited behind two searches, one after the other, for 100 s."""
    scheduler = Scheduler(slots=16)
    (first,) = submit(scheduler, Request(), 1, n_slots=15)
    admit_all(scheduler)
    (wide,) = submit(scheduler, Request(), 1, n_slots=15)
    clips = [submit(scheduler, Request(), 1)[0] for _ in range(3)]
    assert admit_all(scheduler) == [clips[0]]
    end(scheduler, clips[0])
    assert admit_all(scheduler) == [clips[1]]
    end(scheduler, first)
    assert admit_all(scheduler) == [wide]
    end(scheduler, clips[1])
    assert admit_all(scheduler) == [clips[2]]


def test_a_long_file_advances_all_its_sequences_while_a_wide_one_waits_for_their_slots() -> None:
    """Two at a time, as beside a clip, a search of 15 beams began after 700 steps instead of 100."""
    scheduler = Scheduler(slots=16)
    long = submit(scheduler, Request(), 15)
    admit_all(scheduler)
    (wide,) = submit(scheduler, Request(), 1, n_slots=15)
    assert scheduler.batch() == long
    for sequence in long:
        end(scheduler, sequence)
    assert admit_all(scheduler) == [wide]


def test_a_wide_sequence_that_is_next_gets_the_slots_that_become_free() -> None:
    scheduler = Scheduler(slots=5)
    running = [submit(scheduler, Request(), 1)[0] for _ in range(4)]
    admit_all(scheduler)
    (wide,) = submit(scheduler, Request(), 1, n_slots=4)
    late = submit(scheduler, Request(), 3)
    assert admit_all(scheduler) == late[:1]
    for sequence in running:
        assert scheduler.admit() is None
        end(scheduler, sequence)
    assert admit_all(scheduler) == [wide]


def test_whoever_has_the_fewest_slots_goes_first() -> None:
    scheduler = Scheduler(slots=16)
    beams, greedy = Request(), Request()
    submit(scheduler, beams, LONG, n_slots=5)
    submit(scheduler, greedy, 8)
    assert requests_of(admit_all(scheduler)) == [beams, *[greedy] * 5, beams, greedy]


@pytest.mark.parametrize(("n_slots", "width", "n_admitted"), [(16, 5, 3), (16, 15, 1), (16, 7, 2), (5, 4, 1)])
def test_wide_sequences_of_one_request_leave_slots_to_others(n_slots: int, width: int, n_admitted: int) -> None:
    scheduler = Scheduler(slots=n_slots)
    submit(scheduler, Request(), 5, n_slots=width)
    assert len(admit_all(scheduler)) == n_admitted
    (clip,) = submit(scheduler, Request(), 1)
    assert admit_all(scheduler) == [clip]
