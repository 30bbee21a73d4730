"""One decode step as graphs for a few numbers of rows."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable

import torch

from hf_asr_endpoint.whisper.device.accelerator import Accelerator
from hf_asr_endpoint.whisper.device.step import DecodeStep

logger = logging.getLogger(__name__)

ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def row_counts(n_slots: int) -> tuple[int, ...]:
    """Return the numbers of rows that steps have: those of ROWS below the number of slots, and that."""
    return (*(n for n in ROWS if n < n_slots), n_slots)


class StepGraphs:
    """Runs the step of the first rows, as many as are needed or a few more; stopped rows stay as they are."""

    def __init__(self, step: DecodeStep, accelerator: Accelerator, *, n_slots: int) -> None:
        """Capture the largest graph first, whose memory for intermediate results the others then share."""
        self._counts = row_counts(n_slots)
        self._works: dict[int, Callable[[], None]] = {}
        for n_rows in reversed(self._counts):
            work = step.first(n_rows)
            try:
                self._works[n_rows] = accelerator.capture(work)
            except torch.OutOfMemoryError:
                logger.warning("no memory for a graph of %d rows: their steps will be slower", n_rows)
                accelerator.release_memory()
                self._works[n_rows] = work

    def run(self, n_rows: int) -> None:
        """Launch a step of at least this number of rows."""
        self._works[self._counts[bisect_left(self._counts, n_rows)]]()
