"""Priorities of threads."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hf_asr_endpoint.transcription.preparation import PreparationWorkers
from hf_asr_endpoint.whisper.threads import LOW_PRIORITY, yield_to_other_threads

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own here")


def own_priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@needs_linux
def test_a_thread_yields_and_others_keep_their_priority() -> None:
    before = own_priority()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(yield_to_other_threads).result()
        assert pool.submit(own_priority).result() == LOW_PRIORITY
    assert own_priority() == before


@needs_linux
def test_threads_that_prepare_audio_yield_to_the_engine() -> None:
    workers = PreparationWorkers(n_workers=2)
    try:
        prepare = [thread for thread in threading.enumerate() if thread.name.startswith("prepare-")]
        for thread in prepare[-2:]:
            assert thread.native_id is not None
            assert wait_for_priority(thread.native_id) == LOW_PRIORITY
    finally:
        workers.close()


def wait_for_priority(native_id: int) -> int:
    """Return a thread's priority once it has set it, or after a while."""
    waiting = threading.Event()
    for _ in range(200):
        if os.getpriority(os.PRIO_PROCESS, native_id) == LOW_PRIORITY:
            break
        waiting.wait(0.01)
    return os.getpriority(os.PRIO_PROCESS, native_id)
