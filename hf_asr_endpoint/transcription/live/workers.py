"""The threads in which sessions take turns. A turn is some milliseconds, first come, first served."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread

from hf_asr_endpoint.transcription.live.actor import SessionActor
from hf_asr_endpoint.whisper.threads import N_CORES, use_one_core

CORES_PER_WORKER = 4


class LiveWorkers:
    """Starts its threads with the first session."""

    def __init__(self, *, n_workers: int = max(1, N_CORES // CORES_PER_WORKER)) -> None:
        self._queue: SimpleQueue[SessionActor | None] = SimpleQueue()
        self._n_workers = n_workers
        self._threads: list[Thread] = []

    def enqueue(self, actor: SessionActor) -> None:
        """Give a session its next turn. From any thread."""
        self._queue.put(actor)

    def start(self) -> None:
        """Start the threads, once. Called in the event loop."""
        if not self._threads:
            self._threads = [
                Thread(target=self._run, name=f"live-{index}", daemon=True) for index in range(self._n_workers)
            ]
            for thread in self._threads:
                thread.start()

    def close(self) -> None:
        """End the threads after the turns at hand."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        use_one_core()
        while (actor := self._queue.get()) is not None:
            actor.take_turn()
