"""What the engine does and has done, in numbers. Written by the engine's thread alone; any thread may read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hf_asr_endpoint.engine.sequence import Stage, Status


class Meter:
    """Counts since the engine was made, and its load after the last step."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(Stage, 0.0)
        """That the model has taken, by stage."""
        self.ended = dict.fromkeys((Status.FINISHED, Status.CANCELLED, Status.FAILED), 0)
        """Windows, by the status in which they ended."""
        self.n_tokens = 0
        """Tokens sampled, those of all beams and rejected attempts included."""
        self.n_fallbacks = 0
        """Windows that were decoded again, because the first result was not accepted."""
        self._stage_began: float | None = None  # None between stages
        self.n_slots_in_use = 0
        """Told before the end of what has freed them."""
        self.n_waiting = 0
        """Windows that wait for a slot."""

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Count the seconds of a stage, whether it succeeds or not."""
        began = self._stage_began = time.perf_counter()
        try:
            yield
        finally:
            self._stage_began = None
            self.seconds[stage] += time.perf_counter() - began

    @property
    def stage_s(self) -> float:
        """Seconds that the model has been at work on the present stage of a step."""
        began = self._stage_began
        return 0.0 if began is None else time.perf_counter() - began
