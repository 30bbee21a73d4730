"""How many of torch's threads the calling thread uses, and what is enough work for them."""

from __future__ import annotations

import os

import torch

from hf_asr_endpoint.whisper.cores import count_cores


def _choose_n_cores() -> int:
    chosen = torch.get_num_threads()
    is_forced = bool(os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS"))
    return chosen if is_forced else min(chosen, count_cores() or chosen)


N_CORES = _choose_n_cores()
"""Threads that compute together: OMP_NUM_THREADS where it is set, else the cores that this process may use."""


CORES_PER_WINDOW = 16
"""That one window keeps busy: other engines gain nothing, or lose, above 13 to 16
(https://github.com/ggml-org/whisper.cpp/issues/200)."""


def windows_at_once(n_cores: int) -> int:
    """Return how many windows are to be encoded together on some cores."""
    return -(-n_cores // CORES_PER_WINDOW)


def use_all_cores() -> None:
    """Let the calling thread use all cores.

    A new thread starts with the number that any thread set last. Setting the number discards what oneDNN has
    compiled, so this sets it only when it differs.
    """
    if torch.get_num_threads() != N_CORES:
        torch.set_num_threads(N_CORES)


def use_one_core() -> None:
    """Keep the calling thread to one core.

    OpenMP keeps the team of threads that a thread once had for as long as that thread lives. When all teams
    together have more threads than there are cores, none of them waits actively, and every step of the engine
    takes half as long again. So only the engine's thread has a team.
    """
    torch.set_num_threads(1)
