"""Who is admitted next, to which slot, and who advances in a step."""

from __future__ import annotations

from collections import Counter

import pytest

from hf_asr_endpoint.engine.scheduler import MAX_BESIDE_SHORT, SHORT_REQUEST, Scheduler
from hf_asr_endpoint.engine.sequence import Priority, Request, Status
from tests.engine.sequences import LONG, admit_all, end, requests_of, submit


def test_an_empty_scheduler_has_nothing_to_do() -> None:
    scheduler = Scheduler(slots=4)
    assert scheduler.admit() is None
    assert scheduler.batch() == []
    assert list(scheduler) == []
    assert len(scheduler) == 0


def test_a_sequence_waits_then_runs_in_the_lowest_slot_until_removed() -> None:
    scheduler = Scheduler(slots=4)
    (sequence,) = submit(scheduler, Request(), 1)
    assert (len(scheduler), list(scheduler), scheduler.batch()) == (1, [sequence], [])
    assert (sequence.status, sequence.slot) == (Status.WAITING, None)
    assert scheduler.admit() is sequence
    assert (sequence.status, sequence.slot) == (Status.RUNNING, 0)
    assert (len(scheduler), list(scheduler), scheduler.batch()) == (1, [sequence], [sequence])
    end(scheduler, sequence)
    assert (len(scheduler), list(scheduler), scheduler.batch()) == (0, [], [])


def test_a_request_keeps_its_order() -> None:
    scheduler = Scheduler(slots=8)
    sequences = submit(scheduler, Request(), 5)
    assert admit_all(scheduler) == sequences
    assert scheduler.batch() == sequences


def test_whoever_has_the_fewest_running_goes_first() -> None:
    scheduler = Scheduler(slots=16)
    file, clips = Request(), [Request(), Request()]
    submit(scheduler, file, 2)
    admit_all(scheduler)
    submit(scheduler, file, 10)
    for clip in clips:
        submit(scheduler, clip, 1)
    assert requests_of([sequence for _ in range(2) if (sequence := scheduler.admit())]) == clips


def test_equal_requests_take_turns() -> None:
    scheduler = Scheduler(slots=16)
    requests = [Request() for _ in range(3)]
    for request in requests:
        submit(scheduler, request, 4)
    assert requests_of(admit_all(scheduler)) == requests * 4


def test_a_request_is_served_again_after_the_others() -> None:
    scheduler = Scheduler(slots=2)
    first, second, third = Request(), Request(), Request()
    for request in (first, second, third):
        submit(scheduler, request, 1)
    one, _ = admit_all(scheduler)
    end(scheduler, one)
    submit(scheduler, first, 1)
    assert requests_of(admit_all(scheduler)) == [third]


@pytest.mark.parametrize(
    ("n_slots", "most"),
    [(1, 1), (2, 1), (3, 2), (8, 7), (16, 15), (32, 30), (64, 60)],
)
def test_no_request_gets_every_slot(n_slots: int, most: int) -> None:
    scheduler = Scheduler(slots=n_slots)
    submit(scheduler, Request(), n_slots + 5)
    assert len(admit_all(scheduler)) == most
    submit(scheduler, Request(), 1)
    assert len(admit_all(scheduler)) == min(1, n_slots - most)


def test_the_owner_with_the_fewest_slots_goes_first_however_many_requests_another_one_has() -> None:
    scheduler = Scheduler(slots=8)
    crowd = [Request(owner="anna") for _ in range(12)]
    for request in crowd:
        submit(scheduler, request, 1)
    admitted = [scheduler.admit() for _ in range(4)]
    bert = Request(owner="bert")
    submit(scheduler, bert, 2)
    admitted = requests_of(admit_all(scheduler))
    assert admitted == [bert, bert, *crowd[4:6]]


def test_two_requests_share_all_slots() -> None:
    scheduler = Scheduler(slots=16)
    requests = [Request(), Request()]
    for request in requests:
        submit(scheduler, request, 20)
    assert Counter(requests_of(admit_all(scheduler))) == {requests[0]: 8, requests[1]: 8}


def test_the_lowest_free_slot_is_given_next() -> None:
    scheduler = Scheduler(slots=8)
    sequences = submit(scheduler, Request(), 7)
    admit_all(scheduler)
    for sequence in (sequences[5], sequences[1], sequences[3]):
        end(scheduler, sequence)
    submit(scheduler, Request(), 2)
    assert [sequence.slot for sequence in admit_all(scheduler)] == [1, 3]


def test_a_long_request_advances_few_sequences_next_to_a_short_one() -> None:
    scheduler = Scheduler(slots=16)
    file, clip = Request(), Request()
    long = submit(scheduler, file, 10)
    admit_all(scheduler)
    assert scheduler.batch() == long
    (short,) = submit(scheduler, clip, 1)
    assert scheduler.batch() == long[:MAX_BESIDE_SHORT], "while it waits, too"
    assert scheduler.admit() is short
    assert scheduler.batch() == [*long[:MAX_BESIDE_SHORT], short]
    submit(scheduler, file, 5)
    assert scheduler.admit() is None, "it has more than its trickle already"
    end(scheduler, short)
    assert scheduler.batch() == long


def test_the_longest_running_sequences_advance_next_to_a_short_request() -> None:
    scheduler = Scheduler(slots=16)
    long = submit(scheduler, Request(), 6)
    admit_all(scheduler)
    submit(scheduler, Request(), 1)
    end(scheduler, long[0])
    assert scheduler.batch() == long[1 : 1 + MAX_BESIDE_SHORT]


def test_short_requests_do_not_delay_each_other() -> None:
    scheduler = Scheduler(slots=16)
    clips = [Request() for _ in range(6)]
    for clip in clips:
        submit(scheduler, clip, SHORT_REQUEST)
    admitted = admit_all(scheduler)
    assert len(admitted) == 6 * SHORT_REQUEST
    assert scheduler.batch() == admitted


def test_short_requests_wait_while_as_many_sequences_advance_as_are_best_decoded_together() -> None:
    scheduler = Scheduler(slots=16, sequences_per_step=3)
    clips = [Request() for _ in range(5)]
    sequences = [submit(scheduler, clip, 1)[0] for clip in clips]
    assert admit_all(scheduler) == sequences[:3]
    end(scheduler, sequences[1])
    assert admit_all(scheduler) == sequences[3:4]


def test_a_long_request_takes_all_slots_and_makes_room_for_a_short_one_at_once() -> None:
    scheduler = Scheduler(slots=16, sequences_per_step=3)
    long = submit(scheduler, Request(), 20)
    assert len(admit_all(scheduler)) == 15
    (short,) = submit(scheduler, Request(), 1)
    assert scheduler.admit() is short
    assert scheduler.batch() == [*long[:MAX_BESIDE_SHORT], short]


def test_live_sequences_do_not_wait_for_those_that_advance() -> None:
    scheduler = Scheduler(slots=16, sequences_per_step=1)
    submit(scheduler, Request(), 1)
    admit_all(scheduler)
    (live,) = submit(scheduler, Request(priority=Priority.LIVE_FINAL), 1)
    assert admit_all(scheduler) == [live]


def test_the_rest_of_a_long_request_counts_as_short() -> None:
    scheduler = Scheduler(slots=16)
    files = [Request(), Request()]
    first, second = (submit(scheduler, file, LONG) for file in files)
    admit_all(scheduler)
    assert len(scheduler.batch()) == 2 * LONG
    end(scheduler, first[0])
    batch = scheduler.batch()
    assert [sequence for sequence in batch if sequence.request is files[0]] == first[1:]
    assert [sequence for sequence in batch if sequence.request is files[1]] == second[:MAX_BESIDE_SHORT]


@pytest.mark.parametrize("n_admitted", [0, 1, 3], ids=["waiting", "waiting behind one", "running"])
def test_any_sequence_can_be_removed(n_admitted: int) -> None:
    scheduler = Scheduler(slots=8)
    request = Request()
    sequences = submit(scheduler, request, 3)
    for _ in range(n_admitted):
        scheduler.admit()
    end(scheduler, sequences[1])
    assert list(scheduler) == [sequences[0], sequences[2]]
    assert len(scheduler) == 2
    admit_all(scheduler)
    assert scheduler.batch() == [sequences[0], sequences[2]]
    for sequence in (sequences[0], sequences[2]):
        end(scheduler, sequence)
    assert len(scheduler) == 0
    assert len(admit_all(scheduler)) == 0


def test_a_request_that_prefers_latency_runs_one_more_sequence_for_each_that_is_decoded() -> None:
    """All slots of a streamed file were filled before its first token: the first delta took 34 of 38 s.

    They were then filled before its second one: the deltas came after 1 s and after 14 of 16 s.
    """
    scheduler = Scheduler(slots=8)
    request = Request(prefers_latency=True)
    waiting = submit(scheduler, request, 12)
    for n_running in (1, 2, 3, 4):
        running = admit_all(scheduler)
        assert len(scheduler.batch()) == n_running
        assert not scheduler.is_filling()
        request.n_decoded += 1
        end(scheduler, waiting.pop(0))
        assert len(running) == (1 if n_running == 1 else 2)


def test_other_requests_fill_the_slots_while_one_prefers_latency() -> None:
    scheduler = Scheduler(slots=8)
    submit(scheduler, Request(prefers_latency=True), LONG)
    others = submit(scheduler, Request(), 2)
    assert set(others) <= set(admit_all(scheduler))
