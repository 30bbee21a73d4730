from __future__ import annotations

import random
from collections import Counter

import pytest

from hf_asr_endpoint.engine.scheduler import N_BESIDE_SHORT, SHORT_REQUEST, Scheduler
from hf_asr_endpoint.engine.sequence import Attempt, Request, Sequence, Status
from hf_asr_endpoint.whisper.decoding_state import DecoderPrompt, SamplingRules

LONG = SHORT_REQUEST + 1


def make_sequence(request: Request, *, n_slots: int = 1) -> Sequence:
    attempt = Attempt(window=(), prompt=DecoderPrompt(tokens=(0,)), rules=SamplingRules(max_new_tokens=1))
    return Sequence(
        request=request,
        attempt=attempt,
        on_attempt=lambda state: None,
        on_end=lambda sequence: None,
        n_slots=n_slots,
    )


def submit(scheduler: Scheduler, request: Request, n: int, *, n_slots: int = 1) -> list[Sequence]:
    sequences = [make_sequence(request, n_slots=n_slots) for _ in range(n)]
    for sequence in sequences:
        scheduler.submit(sequence)
    return sequences


def admit_all(scheduler: Scheduler) -> list[Sequence]:
    admitted = []
    while (sequence := scheduler.admit()) is not None:
        admitted.append(sequence)
    return admitted


def end(scheduler: Scheduler, sequence: Sequence) -> None:
    """Take it out as the engine does."""
    scheduler.remove(sequence)
    sequence.end(Status.FINISHED)


def requests_of(sequences: list[Sequence]) -> list[Request]:
    return [sequence.request for sequence in sequences]


def test_an_empty_scheduler_has_nothing_to_do() -> None:
    scheduler = Scheduler(n_slots=4)
    assert scheduler.admit() is None
    assert scheduler.batch() == []
    assert list(scheduler) == []
    assert len(scheduler) == 0


def test_a_sequence_waits_then_runs_in_the_lowest_slot_then_is_gone() -> None:
    scheduler = Scheduler(n_slots=4)
    (sequence,) = submit(scheduler, Request(), 1)
    assert (len(scheduler), list(scheduler), scheduler.batch()) == (1, [sequence], [])
    assert (sequence.status, sequence.slot) == (Status.WAITING, None)
    assert scheduler.admit() is sequence
    assert (sequence.status, sequence.slot) == (Status.RUNNING, 0)
    assert (len(scheduler), list(scheduler), scheduler.batch()) == (1, [sequence], [sequence])
    end(scheduler, sequence)
    assert (len(scheduler), list(scheduler), scheduler.batch()) == (0, [], [])


def test_a_request_keeps_its_order() -> None:
    scheduler = Scheduler(n_slots=8)
    sequences = submit(scheduler, Request(), 5)
    assert admit_all(scheduler) == sequences
    assert scheduler.batch() == sequences


def test_whoever_has_the_fewest_running_goes_first() -> None:
    scheduler = Scheduler(n_slots=16)
    file, clips = Request(), [Request(), Request()]
    submit(scheduler, file, 2)
    admit_all(scheduler)
    submit(scheduler, file, 10)
    for clip in clips:
        submit(scheduler, clip, 1)
    assert requests_of([sequence for _ in range(2) if (sequence := scheduler.admit())]) == clips


def test_equals_take_turns() -> None:
    scheduler = Scheduler(n_slots=16)
    requests = [Request() for _ in range(3)]
    for request in requests:
        submit(scheduler, request, 4)
    assert requests_of(admit_all(scheduler)) == requests * 4


def test_a_request_that_comes_back_is_behind_those_who_wait() -> None:
    scheduler = Scheduler(n_slots=2)
    first, second, third = Request(), Request(), Request()
    for request in (first, second, third):
        submit(scheduler, request, 1)
    one, _ = admit_all(scheduler)
    end(scheduler, one)
    submit(scheduler, first, 1)
    assert requests_of(admit_all(scheduler)) == [third]


@pytest.mark.parametrize(
    ("n_slots", "most"),
    [(1, 1), (2, 1), (3, 2), (8, 7), (16, 14), (17, 15), (64, 56)],
)
def test_no_request_takes_every_slot(n_slots: int, most: int) -> None:
    scheduler = Scheduler(n_slots=n_slots)
    submit(scheduler, Request(), n_slots + 5)
    assert len(admit_all(scheduler)) == most
    submit(scheduler, Request(), 1)
    assert len(admit_all(scheduler)) == min(1, n_slots - most)


def test_two_requests_share_all_slots() -> None:
    scheduler = Scheduler(n_slots=16)
    requests = [Request(), Request()]
    for request in requests:
        submit(scheduler, request, 20)
    assert Counter(requests_of(admit_all(scheduler))) == {requests[0]: 8, requests[1]: 8}


def test_the_lowest_free_slot_is_given_next() -> None:
    scheduler = Scheduler(n_slots=8)
    sequences = submit(scheduler, Request(), 7)
    admit_all(scheduler)
    for sequence in (sequences[5], sequences[1], sequences[3]):
        end(scheduler, sequence)
    submit(scheduler, Request(), 2)
    assert [sequence.slot for sequence in admit_all(scheduler)] == [1, 3]


def test_a_long_request_gets_no_more_than_a_trickle_beside_a_short_one() -> None:
    scheduler = Scheduler(n_slots=16)
    file, clip = Request(), Request()
    long = submit(scheduler, file, 10)
    admit_all(scheduler)
    assert scheduler.batch() == long
    (short,) = submit(scheduler, clip, 1)
    assert scheduler.batch() == long[:N_BESIDE_SHORT], "while it waits, too"
    assert scheduler.admit() is short
    assert scheduler.batch() == [*long[:N_BESIDE_SHORT], short]
    submit(scheduler, file, 5)
    assert scheduler.admit() is None, "it has more than its trickle already"
    end(scheduler, short)
    assert scheduler.batch() == long


def test_those_that_have_run_longest_go_on_beside_a_short_request() -> None:
    scheduler = Scheduler(n_slots=16)
    long = submit(scheduler, Request(), 6)
    admit_all(scheduler)
    submit(scheduler, Request(), 1)
    end(scheduler, long[0])
    assert scheduler.batch() == long[1 : 1 + N_BESIDE_SHORT]


def test_short_requests_do_not_hold_one_another_up() -> None:
    scheduler = Scheduler(n_slots=16)
    clips = [Request() for _ in range(6)]
    for clip in clips:
        submit(scheduler, clip, SHORT_REQUEST)
    admitted = admit_all(scheduler)
    assert len(admitted) == 6 * SHORT_REQUEST
    assert scheduler.batch() == admitted


def test_the_end_of_a_long_request_is_a_short_one() -> None:
    scheduler = Scheduler(n_slots=16)
    files = [Request(), Request()]
    first, second = (submit(scheduler, file, LONG) for file in files)
    admit_all(scheduler)
    assert len(scheduler.batch()) == 2 * LONG
    end(scheduler, first[0])
    batch = scheduler.batch()
    assert [sequence for sequence in batch if sequence.request is files[0]] == first[1:]
    assert [sequence for sequence in batch if sequence.request is files[1]] == second[:N_BESIDE_SHORT]


@pytest.mark.parametrize("n_admitted", [0, 1, 3], ids=["waiting", "waiting behind one", "running"])
def test_any_sequence_can_be_removed(n_admitted: int) -> None:
    scheduler = Scheduler(n_slots=8)
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


def test_a_wide_sequence_gets_all_its_slots_at_once_or_none() -> None:
    scheduler = Scheduler(n_slots=6)
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


def test_nobody_narrower_slips_by_a_wide_one_whose_turn_it_is() -> None:
    scheduler = Scheduler(n_slots=4)
    running = [submit(scheduler, Request(), 1)[0] for _ in range(2)]
    admit_all(scheduler)
    (wide,) = submit(scheduler, Request(), 1, n_slots=4)
    (late,) = submit(scheduler, Request(), 1)
    for sequence in running:
        assert scheduler.admit() is None
        end(scheduler, sequence)
    assert admit_all(scheduler) == [wide]
    end(scheduler, wide)
    assert admit_all(scheduler) == [late]


def test_whoever_has_the_fewest_slots_goes_first() -> None:
    scheduler = Scheduler(n_slots=16)
    beams, greedy = Request(), Request()
    submit(scheduler, beams, LONG, n_slots=5)
    submit(scheduler, greedy, 8)
    assert requests_of(admit_all(scheduler)) == [beams, *[greedy] * 5, beams, greedy]


@pytest.mark.parametrize(("n_slots", "width", "n_admitted"), [(16, 5, 2), (16, 16, 1), (16, 7, 2), (5, 5, 1)])
def test_wide_sequences_of_one_request_leave_slots_to_others(n_slots: int, width: int, n_admitted: int) -> None:
    """But one of them may run, whatever it takes."""
    scheduler = Scheduler(n_slots=n_slots)
    submit(scheduler, Request(), 5, n_slots=width)
    assert len(admit_all(scheduler)) == n_admitted


@pytest.mark.parametrize("n_before", [1, 3], ids=["one that is wide", "a long file of them"])
@pytest.mark.parametrize("width", [5, 8])
def test_wide_sequences_get_on_beside_ever_new_narrow_ones(width: int, n_before: int) -> None:
    """Whenever a narrow one ends, another request comes with one; there are always more of them than slots."""
    scheduler = Scheduler(n_slots=8)
    for _ in range(12):
        submit(scheduler, Request(), 1)
    admit_all(scheduler)
    wide = submit(scheduler, Request(), n_before, n_slots=width)
    ages: Counter[Sequence] = Counter()
    for _ in range(200):
        scheduler.admit()
        for sequence in scheduler.batch():
            ages[sequence] += 1
            if ages[sequence] == 5:
                end(scheduler, sequence)
                if sequence not in wide:
                    submit(scheduler, Request(), 1)
    assert all(sequence.status is Status.FINISHED for sequence in wide)


class Simulation:
    """Sequences that arrive, run and end by chance, and what must hold all the while."""

    def __init__(self, *, n_slots: int, seed: int) -> None:
        self.scheduler = Scheduler(n_slots=n_slots)
        self._n_slots = n_slots
        self._random = random.Random(seed)
        self._requests = [Request()]
        self._waiting: dict[Sequence, None] = {}  # A set whose order is the same in every run.
        self._running: dict[Sequence, tuple[int, ...]] = {}

    def run(self, *, n_steps: int, arrivals: float) -> None:
        for _ in range(n_steps):
            if self._random.random() < arrivals:
                self._arrive()
            self._admit()
            for sequence in self._batch():
                if self._random.random() < 0.3:
                    self._end(sequence)
            left = [*self._waiting, *self._running]
            if left and self._random.random() < 0.1:
                self._end(self._random.choice(left))
            assert set(self.scheduler) == self._waiting.keys() | self._running.keys()
            assert len(self.scheduler) == len(self._waiting) + len(self._running)

    def _arrive(self) -> None:
        if self._random.random() < 0.5:
            self._requests.append(Request())
        request = self._random.choice(self._requests[-4:])
        n, n_slots = self._random.choice([1, 1, 2, 5, 12]), self._random.choice([1, 1, 1, 2, 5])
        new = submit(self.scheduler, request, n, n_slots=min(n_slots, self._n_slots))
        self._waiting |= dict.fromkeys(new)

    def _admit(self) -> None:
        if (sequence := self.scheduler.admit()) is None:
            return
        del self._waiting[sequence]
        assert len(set(sequence.slots)) == len(sequence.slots) == sequence.n_slots
        assert set(sequence.slots) <= set(range(self._n_slots))
        given = {slot for slots in self._running.values() for slot in slots}
        assert not given & set(sequence.slots), "given twice"
        self._running[sequence] = sequence.slots

    def _batch(self) -> list[Sequence]:
        batch = self.scheduler.batch()
        assert set(batch) <= self._running.keys()
        assert len(set(batch)) == len(batch)
        assert bool(batch) == bool(self._running), "somebody always advances"
        assert all(sequence.slots == self._running[sequence] for sequence in batch)
        assert {sequence.request for sequence in batch} == {sequence.request for sequence in self._running}
        return batch

    def _end(self, sequence: Sequence) -> None:
        end(self.scheduler, sequence)
        self._waiting.pop(sequence, None)
        self._running.pop(sequence, None)


@pytest.mark.parametrize("n_slots", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("seed", range(6))
def test_nobody_starves_and_no_slot_is_given_twice(n_slots: int, seed: int) -> None:
    simulation = Simulation(n_slots=n_slots, seed=seed)
    simulation.run(n_steps=100, arrivals=0.5)
    simulation.run(n_steps=3_000 // n_slots, arrivals=0.0)
    assert len(simulation.scheduler) == 0


@pytest.mark.parametrize("n_slots", [1, 2, 4, 16])
def test_a_long_request_gets_on_beside_ever_new_short_ones(n_slots: int) -> None:
    """Whenever a short request ends, another one comes; there are always more of them than slots."""
    scheduler = Scheduler(n_slots=n_slots)
    file = submit(scheduler, Request(), 12)
    for _ in range(n_slots + 4):
        submit(scheduler, Request(), 1)
    ages: Counter[Sequence] = Counter()
    for _ in range(1_000):
        scheduler.admit()
        for sequence in scheduler.batch():
            ages[sequence] += 1
            if ages[sequence] == 5:
                end(scheduler, sequence)
                if sequence not in file:
                    submit(scheduler, Request(), 1)
    assert all(sequence.status is Status.FINISHED for sequence in file)
