"""How many of torch's threads the calling thread uses, and its priority."""

from __future__ import annotations

import os
import sys
import threading

import torch

N_CORES = torch.get_num_threads()  # torch's own choice: the cores of this process, or OMP_NUM_THREADS

LOW_PRIORITY = 10  # of 19: about a tenth of the time of a thread with the usual priority


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


def yield_to_other_threads() -> None:
    """Let the calling thread compute only where no other thread of this process wants to, if the system can.

    The engine's threads share each product in equal parts: one that shares its core with another busy thread makes
    all of them wait. Linux has a priority for each thread; elsewhere nothing changes.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW_PRIORITY)
