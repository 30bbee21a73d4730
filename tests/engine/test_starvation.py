"""Whatever arrives beside it, every sequence comes to its end."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from hf_asr_endpoint.engine.scheduler import Scheduler, n_reserved_slots
from hf_asr_endpoint.engine.sequence import Request, Sequence, Status
from tests.engine.sequences import admit_all, end, submit


class Simulation:
    """Sequences that arrive, run and end by chance, and what must hold all the while."""

    def __init__(self, *, n_slots: int, seed: int) -> None:
        self.scheduler = Scheduler(slots=n_slots)
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
        new = submit(
            self.scheduler, request, n, n_slots=min(n_slots, self._n_slots - n_reserved_slots(self._n_slots))
        )
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
def test_no_request_starves_and_no_slot_is_given_twice(n_slots: int, seed: int) -> None:
    simulation = Simulation(n_slots=n_slots, seed=seed)
    simulation.run(n_steps=100, arrivals=0.5)
    simulation.run(n_steps=3_000 // n_slots, arrivals=0.0)
    assert len(simulation.scheduler) == 0


@pytest.mark.parametrize("n_slots", [1, 2, 4, 16])
def test_a_long_request_finishes_while_short_ones_keep_coming(n_slots: int) -> None:
    """Whenever a short request ends, another one comes; there are always more of them than slots."""
    scheduler = Scheduler(slots=n_slots)
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


@pytest.mark.parametrize("n_before", [1, 3], ids=["one that is wide", "a long file of them"])
@pytest.mark.parametrize("width", [5, 7])
def test_wide_sequences_get_on_beside_ever_new_narrow_ones(width: int, n_before: int) -> None:
    """Whenever a narrow one ends, another request comes with one; there are always more of them than slots."""
    scheduler = Scheduler(slots=8)
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
