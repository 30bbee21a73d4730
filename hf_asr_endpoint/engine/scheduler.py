"""Which sequences get slots and which advance. Pure: no threads, no clock, no model.

Fairness is by owner, then by request: a long file is many sequences, a short clip is one. Of the owners that wait,
the one with the fewest slots is served first, and of its requests the one with the fewest. While a short request
is running, a long one advances only a few of its sequences, so that a step is quick and the clip not slowed down.

A short request waits while `sequences_per_step` sequences advance, even if slots are free: where a step takes
longer by nearly as much as it has more rows, all would end later, and hardly more of them in a second.

Live sequences come before all of that. While sessions are open, slots are kept for them, and while a live sequence
is at work, no window of a recording begins, but for one now and then, so that recordings go on.

A sequence with several beams gets all its slots at once. When it is next and too few are free, others are admitted
only to as many slots as are reserved, which it cannot need, until there are enough.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator

from hf_asr_endpoint.engine.sequence import Request, Sequence, Status

SHORT_REQUEST = 2  # sequences, waiting and running: up to a minute of speech
MAX_BESIDE_SHORT = 2  # sequences of a longer request that advance while a short one is running
MAX_LIVE_SLOTS = 2  # kept while sessions are open
LIVE_SHARE = 4  # one slot in 4 at most is kept
STEPS_BETWEEN_RECORDINGS = 12
"""While live sequences are at work: steps from one window of a recording to the next. A live pass takes about as
many, so it waits for no more than one such window."""

RESERVED_SHARE = 16  # one slot in 16 is kept for other requests than the one that has the rest


def n_reserved_slots(slots: int) -> int:
    """Return how many of an engine's slots no request gets in addition to all others."""
    return max(1, slots // RESERVED_SHARE) if slots > 1 else 0


def n_live_slots(slots: int) -> int:
    """Return how many of an engine's slots are kept for live sequences while sessions are open."""
    return min(MAX_LIVE_SLOTS, slots // LIVE_SHARE)


class Scheduler:
    """Waiting sequences by request, and running sequences by slot."""

    def __init__(self, *, slots: int, sequences_per_step: int | None = None) -> None:
        """sequences_per_step: that advance beside a short request, at most; None: as many as have slots."""
        self.slots = slots
        self._sequences_per_step = sequences_per_step or slots
        self._n_reserved = n_reserved_slots(slots)
        self._max_per_request = slots - self._n_reserved
        self._free = list(range(slots))  # A heap: giving out low slots first keeps the running ones together.
        self._waiting: dict[Request, deque[Sequence]] = {}  # In the order in which requests were last served.
        self._running: dict[int, Sequence] = {}  # By their first slots.
        self.n_sessions = 0
        """Open live sessions. Set by whoever opens and closes them."""
        self._n_steps_since_recording = 0
        self._overtaking: set[Sequence] = set()  # Running, admitted while the next one waited for enough slots.

    def __len__(self) -> int:
        return len(self._running) + self.n_waiting

    def __iter__(self) -> Iterator[Sequence]:
        """All sequences, running and waiting."""
        yield from self._running.values()
        for queue in self._waiting.values():
            yield from queue

    @property
    def n_slots_in_use(self) -> int:
        return self.slots - len(self._free)

    @property
    def n_waiting(self) -> int:
        """Sequences that have no slots yet."""
        return sum(len(queue) for queue in self._waiting.values())

    def submit(self, sequence: Sequence) -> None:
        self._waiting.setdefault(sequence.request, deque()).append(sequence)

    def begin_step(self) -> None:
        """Count a step."""
        self._n_steps_since_recording += 1

    def may_begin(self, sequence: Sequence) -> bool:
        """Return whether a window may be encoded or aligned now: the engine does nothing else meanwhile."""
        if sequence.request.is_live or not self._is_live():
            return True
        return self._n_steps_since_recording >= STEPS_BETWEEN_RECORDINGS

    def count_begun(self, sequence: Sequence) -> None:
        """Take note of a window that is encoded or aligned now."""
        if not sequence.request.is_live:
            self._n_steps_since_recording = 0

    def admit(self) -> Sequence | None:
        """Give the next waiting sequence its slots and return it; None when no sequence may start now."""
        queued = [sequence for sequence in self._queued() if self.may_begin(sequence)]
        sequence = self._next(queued)
        if sequence is None:
            return None
        if sequence is not queued[0]:
            self._overtaking.add(sequence)
        queue = self._waiting.pop(sequence.request)
        queue.popleft()
        if queue:
            self._waiting[sequence.request] = queue  # At the end: other requests are served before it again.
        sequence.slots = tuple(heapq.heappop(self._free) for _ in range(sequence.n_slots))
        sequence.status = Status.RUNNING
        self._running[sequence.slots[0]] = sequence
        return sequence

    def is_filling(self) -> bool:
        """Return whether all sequences are of one request and another one of them would be admitted now."""
        requests = {sequence.request for sequence in self._running.values()} | self._waiting.keys()
        return len(requests) == 1 and self._next(self._queued()) is not None

    def batch(self) -> list[Sequence]:
        """Return the running sequences that advance now, by priority, in the order in which they were admitted."""
        counts = self._running_counts()
        max_of_long = self._max_of_long(counts)
        taken: Counter[Request] = Counter()
        batch = []
        for sequence in sorted(self._running.values(), key=lambda sequence: sequence.request.priority):
            taken[sequence.request] += 1
            if taken[sequence.request] <= max_of_long or self._is_short(sequence.request, counts):
                batch.append(sequence)
        return batch

    def remove(self, sequence: Sequence) -> None:
        """Remove a sequence, running or waiting."""
        if sequence.slots:
            self._overtaking.discard(sequence)
            del self._running[sequence.slots[0]]
            for slot in sequence.slots:
                heapq.heappush(self._free, slot)
            return
        queue = self._waiting[sequence.request]
        queue.remove(sequence)
        if not queue:
            del self._waiting[sequence.request]

    def _queued(self) -> list[Sequence]:
        """Return each waiting request's next sequence, if its request may run another, the next one first."""
        counts, taken = self._running_counts(), self._slot_counts()
        of_owner: Counter[str | None] = Counter()
        for request, n_slots in taken.items():
            of_owner[request.owner] += n_slots
        limit = self._max_of_long(counts)
        candidates = [request for request in self._waiting if self._may_run_another(request, counts, taken, limit)]
        # Equals stay in order.
        candidates.sort(key=lambda request: (request.priority, of_owner[request.owner], taken[request]))
        return [self._waiting[request][0] for request in candidates]

    def _next(self, queued: list[Sequence]) -> Sequence | None:
        """Return the sequence that may start now."""
        if not queued or not self._free or not self._has_room_beside(queued[0]):
            return None
        if queued[0].n_slots <= self._n_free_for(queued[0]):
            return queued[0]
        n_reserved = self._n_reserved - sum(len(sequence.slots) for sequence in self._overtaking)
        return next(
            (one for one in queued[1:] if one.n_slots <= min(self._n_free_for(one), n_reserved)),
            None,
        )

    def _has_room_beside(self, sequence: Sequence) -> bool:
        """Return whether a sequence may advance with those that do now."""
        if sequence.request.is_live or not self._is_short(sequence.request, self._running_counts()):
            return True
        return len(self.batch()) < self._sequences_per_step

    def _n_free_for(self, sequence: Sequence) -> int:
        """Return how many slots are free for a sequence: not those kept for live ones, unless it needs them."""
        n_kept = n_live_slots(self.slots) if self.n_sessions else 0
        if sequence.request.is_live or sequence.n_slots > self.slots - n_kept:
            return len(self._free)
        n_live = sum(1 for running in self._running.values() if running.request.is_live)
        return len(self._free) - max(n_kept - n_live, 0)

    def _is_live(self) -> bool:
        """Return whether a live sequence is running or waiting."""
        running = any(sequence.request.is_live for sequence in self._running.values())
        return running or any(request.is_live for request in self._waiting)

    def _running_counts(self) -> Counter[Request]:
        return Counter(sequence.request for sequence in self._running.values())

    def _slot_counts(self) -> Counter[Request]:
        taken: Counter[Request] = Counter()
        for sequence in self._running.values():
            taken[sequence.request] += sequence.n_slots
        return taken

    def _may_run_another(
        self, request: Request, counts: Counter[Request], taken: Counter[Request], max_of_long: int
    ) -> bool:
        """Return whether a waiting request's next sequence may run, if there are enough free slots.

        counts, taken: running sequences and slots by request. max_of_long: see `_max_of_long`.
        """
        if not counts[request]:
            return self._waiting[request][0].n_slots <= self._max_per_request
        if request.prefers_latency and counts[request] > request.n_decoded:
            return False
        n_slots = taken[request] + self._waiting[request][0].n_slots
        may_advance = counts[request] < max_of_long or self._is_short(request, counts)
        return may_advance and n_slots <= self._max_per_request

    def _max_of_long(self, counts: Counter[Request]) -> int:
        """Return how many sequences of a long request may advance. counts: running ones by request."""
        if any(self._is_short(request, counts) for request in counts):
            return min(MAX_BESIDE_SHORT, self._max_per_request)
        # One that waits for more slots than are free needs the others to advance, not to make way.
        waiting = (request for request, queue in self._waiting.items() if queue[0].n_slots <= len(self._free))
        if any(self._is_short(request, counts) for request in waiting):
            return min(MAX_BESIDE_SHORT, self._max_per_request)
        return self._max_per_request

    def _is_short(self, request: Request, counts: Counter[Request]) -> bool:
        return counts[request] + len(self._waiting.get(request, ())) <= SHORT_REQUEST
