"""Who gets slots and who advances. Pure: no threads, no clock, no model.

Fairness is by request: a long file is many sequences, a short clip is one, and whoever waits with the
fewest running goes first. While a short request is there, long ones keep a trickle, so that a step is
quick and a clip is not slowed down by a file's other sequences.

A sequence of several beams gets all its slots at once. When it is its turn and too few are free, nobody
else is admitted until they are.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator

from hf_asr_endpoint.engine.sequence import Request, Sequence, Status

SHORT_REQUEST = 2  # sequences, waiting and running: up to a minute of speech
N_BESIDE_SHORT = 2  # sequences that a longer request may advance while a short one is running
RESERVED_SHARE = 16  # one slot in so many is kept from any single request, for whoever comes next


class Scheduler:
    """Sequences waiting by request, and sequences running by slot."""

    def __init__(self, *, n_slots: int) -> None:
        self.n_slots = n_slots
        self._most_per_request = n_slots - max(1, n_slots // RESERVED_SHARE) if n_slots > 1 else 1
        self._free = list(range(n_slots))  # A heap: low slots first keeps the running ones together.
        self._waiting: dict[Request, deque[Sequence]] = {}  # In the order in which requests were last served.
        self._running: dict[int, Sequence] = {}  # By their first slots.

    def __len__(self) -> int:
        return len(self._running) + sum(len(queue) for queue in self._waiting.values())

    def __iter__(self) -> Iterator[Sequence]:
        """All sequences, running and waiting."""
        yield from self._running.values()
        for queue in self._waiting.values():
            yield from queue

    def submit(self, sequence: Sequence) -> None:
        self._waiting.setdefault(sequence.request, deque()).append(sequence)

    def admit(self) -> Sequence | None:
        """Give the next waiting sequence its slots; None when nobody may have any now."""
        sequence = self._next()
        if sequence is None:
            return None
        queue = self._waiting.pop(sequence.request)
        queue.popleft()
        if queue:
            self._waiting[sequence.request] = queue  # At the end: the others are served before it comes again.
        sequence.slots = tuple(heapq.heappop(self._free) for _ in range(sequence.n_slots))
        sequence.status = Status.RUNNING
        self._running[sequence.slots[0]] = sequence
        return sequence

    def is_filling(self) -> bool:
        """Say whether all sequences are of one request, and another one of them would be admitted now."""
        requests = {sequence.request for sequence in self._running.values()} | self._waiting.keys()
        return len(requests) == 1 and self._next() is not None

    def batch(self) -> list[Sequence]:
        """Return the running sequences that advance now, the longest running first."""
        counts = self._n_running()
        taken: Counter[Request] = Counter()
        batch = []
        for sequence in self._running.values():
            taken[sequence.request] += 1
            if taken[sequence.request] <= self._most_running(sequence.request, counts):
                batch.append(sequence)
        return batch

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence, wherever it is."""
        if sequence.slots:
            del self._running[sequence.slots[0]]
            for slot in sequence.slots:
                heapq.heappush(self._free, slot)
            return
        queue = self._waiting[sequence.request]
        queue.remove(sequence)
        if not queue:
            del self._waiting[sequence.request]

    def _next(self) -> Sequence | None:
        """Return the waiting sequence that may have its slots now."""
        counts = self._n_running()
        taken = self._n_taken()
        candidates = [request for request in self._waiting if self._may_run_another(request, counts, taken)]
        if not self._free or not candidates:
            return None
        request = min(candidates, key=lambda candidate: taken[candidate])  # The first among equals.
        sequence = self._waiting[request][0]
        return sequence if sequence.n_slots <= len(self._free) else None

    def _n_running(self) -> Counter[Request]:
        return Counter(sequence.request for sequence in self._running.values())

    def _n_taken(self) -> Counter[Request]:
        """Return how many slots the requests have."""
        taken: Counter[Request] = Counter()
        for sequence in self._running.values():
            taken[sequence.request] += sequence.n_slots
        return taken

    def _may_run_another(self, request: Request, counts: Counter[Request], taken: Counter[Request]) -> bool:
        """Say whether a waiting request's next sequence may run, if there are slots for it.

        counts, taken: running sequences and slots by request.
        """
        if not counts[request]:
            return True
        n_slots = taken[request] + self._waiting[request][0].n_slots
        return counts[request] < self._most_running(request, counts) and n_slots <= self._most_per_request

    def _most_running(self, request: Request, counts: Counter[Request]) -> int:
        """Return how many sequences of a request may run now. counts: running ones by request."""
        if self._is_short(request, counts):
            return self._most_per_request
        others = (counts.keys() | self._waiting.keys()) - {request}
        if any(self._is_short(other, counts) for other in others):
            return min(N_BESIDE_SHORT, self._most_per_request)
        return self._most_per_request

    def _is_short(self, request: Request, counts: Counter[Request]) -> bool:
        return counts[request] + len(self._waiting.get(request, ())) <= SHORT_REQUEST
