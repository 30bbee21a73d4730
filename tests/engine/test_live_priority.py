"""Live sequences go before recordings, and recordings go on all the same."""

from __future__ import annotations

from hf_asr_endpoint.engine.scheduler import STEPS_BETWEEN_RECORDINGS, Scheduler, n_live_slots
from hf_asr_endpoint.engine.sequence import Priority, Request
from tests.engine.sequences import admit_all, end, requests_of, submit


def live(priority: Priority = Priority.LIVE_PARTIAL) -> Request:
    return Request(priority=priority)


def test_finals_go_before_partials_and_both_before_recordings() -> None:
    scheduler = Scheduler(slots=8)
    recording, partial, final = Request(), live(), live(Priority.LIVE_FINAL)
    for request in (recording, partial, final):
        submit(scheduler, request, 1)
    for _ in range(STEPS_BETWEEN_RECORDINGS):
        scheduler.begin_step()
    assert requests_of(admit_all(scheduler)) == [final, partial, recording]
    assert requests_of(scheduler.batch()) == [final, partial, recording]


def test_open_sessions_keep_slots() -> None:
    scheduler = Scheduler(slots=8)
    scheduler.n_sessions = 1
    for _ in range(8):
        submit(scheduler, Request(), 1)
    assert len(admit_all(scheduler)) == 8 - n_live_slots(8)
    submit(scheduler, live(), 1)
    assert len(admit_all(scheduler)) == 1
    scheduler.n_sessions = 0
    for sequence in [one for one in scheduler if one.request.is_live]:
        end(scheduler, sequence)
    assert len(admit_all(scheduler)) == n_live_slots(8)


def test_a_sequence_that_needs_kept_slots_gets_them() -> None:
    scheduler = Scheduler(slots=8)
    scheduler.n_sessions = 1
    submit(scheduler, Request(), 1, n_slots=7)
    assert len(admit_all(scheduler)) == 1


def test_few_slots_are_not_kept() -> None:
    assert [n_live_slots(slots) for slots in (1, 3, 4, 7, 8, 64)] == [0, 0, 1, 1, 2, 2]


def test_recordings_begin_a_window_now_and_then_while_live_ones_are_at_work() -> None:
    scheduler = Scheduler(slots=8)
    submit(scheduler, live(), 1)
    admit_all(scheduler)
    recordings = submit(scheduler, Request(), 3)
    begun = []
    for step in range(2 * STEPS_BETWEEN_RECORDINGS):
        scheduler.begin_step()
        if (sequence := scheduler.admit()) is not None:
            scheduler.count_begun(sequence)
            begun.append((step, sequence))
    assert begun == [
        (STEPS_BETWEEN_RECORDINGS - 1, recordings[0]),
        (2 * STEPS_BETWEEN_RECORDINGS - 1, recordings[1]),
    ]


def test_recordings_begin_at_once_beside_sessions_that_are_silent() -> None:
    scheduler = Scheduler(slots=8)
    scheduler.n_sessions = 5
    submit(scheduler, Request(), 3)
    assert len(admit_all(scheduler)) == 3
