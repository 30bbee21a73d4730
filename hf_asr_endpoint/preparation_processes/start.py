"""How many processes prepare audio for an engine, and their beginning, beside the load of its model."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.logs import LogFormat
from hf_asr_endpoint.preparation_processes.preparations import PreparationProcesses
from hf_asr_endpoint.transcription.preparation import BeginPreparations
from hf_asr_endpoint.transcription.preparation_workers import PreparationWorkers
from hf_asr_endpoint.whisper.threads import N_CORES

logger = logging.getLogger(__name__)

MAX_PROCESSES = 8
"""That are started for one engine without being asked for. By calculation they prepare wav at 6,000 times real
time, about what a large GPU decodes (docs/gpu.md)."""


def choose_n_processes(
    wanted: int | Literal["auto"], *, device: str, n_cores: int = N_CORES, platform: str = sys.platform
) -> int:
    """Return how many processes prepare audio; 0: threads of the engine's process do.

    device: the type of torch's device that the engine computes on. n_cores: that the engine's process may use.
    Raises ModelUnavailable for a number on Windows, where processes cannot be handed what they need.
    """
    if wanted == "auto":
        # An engine on the CPU needs the cores itself, and so does the thread that drives a GPU: one of them.
        return min(MAX_PROCESSES, n_cores - 1) if device == "cuda" and platform != "win32" else 0
    if wanted and platform == "win32":
        raise ModelUnavailable(f"--preparation-processes is {wanted}; allowed on Windows: auto, 0")
    return wanted


@contextmanager
def beginning_preparations(n_processes: int, *, log_format: LogFormat) -> Iterator[BeginPreparations]:
    """Yield what makes an engine's Preparations, within which its model is loaded.

    Processes are started at once, and ended if the load fails; later, whoever has the Preparations ends them.
    """
    if n_processes == 0:
        yield PreparationWorkers
        return
    logger.info("audio is prepared in processes of its own: %d", n_processes)
    processes = PreparationProcesses(n_processes, log_format=log_format)
    try:
        yield processes.begin
    except BaseException:
        processes.close()
        raise
