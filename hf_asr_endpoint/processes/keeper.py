"""Keeps a process running: starts it, takes what it tells, and starts it again when it has ended."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from typing import Generic, Protocol

from hf_asr_endpoint.processes.channel import Channel, Pipe, Received, Sent, Silence

logger = logging.getLogger(__name__)

FAILED_AFTER = 3
"""Starts without success in a row, after which work no longer waits for the process. It is still tried again."""
MIN_WAIT_S, MAX_WAIT_S = 1.0, 60.0
"""Before a start after one without success: the first such wait, which doubles each time, and the longest."""
STOP_TIMEOUT_S = 10.0
"""For a process to end by itself."""


class ChildProcess(Protocol):
    """A process that has been started, as of multiprocessing."""

    @property
    def exitcode(self) -> int | None: ...

    def is_alive(self) -> bool: ...

    def kill(self) -> None: ...

    def join(self, timeout: float | None = None) -> None: ...


class Keeper(Generic[Received, Sent]):
    """A process as long as it is wanted. `start` and `close` are called once each.

    Its thread starts the process and takes what it tells. Everything else may come from any thread.
    """

    def __init__(
        self,
        name: str,
        *,
        start: Callable[[], tuple[Pipe, ChildProcess]],
        on_start: Callable[[Channel[Received, Sent]], None],
        take: Callable[[Received], str],
        on_end: Callable[[str], bool],
        max_silence_s: float,
    ) -> None:
        """start: starts a process, and returns this end of the pipe to it. on_start: takes the way to it.

        take: takes what it tells; returns why the process must be killed, or "". on_end: takes why the process has
        ended; returns whether it is to be started again. All of them are called in the keeper's thread.

        max_silence_s: after which a process that has told nothing counts as hanging, and is killed.
        """
        self.name = name
        self.n_failures = 0
        """Starts without success, in a row."""
        self.n_restarts = 0
        self._start = start
        self._on_start = on_start
        self._take = take
        self._on_end = on_end
        self._max_silence_s = max_silence_s
        self._process: ChildProcess | None = None
        self._has_succeeded = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)

    @property
    def is_closing(self) -> bool:
        return self._closing.is_set()

    def start(self) -> None:
        """Begin to start the process."""
        atexit.register(self._abandon)  # The process may ignore SIGTERM, and nobody else ends it.
        self._thread.start()

    def succeed(self) -> None:
        """Take it that the process works: when it ends, the next one is started at once."""
        self._has_succeeded, self.n_failures = True, 0

    def begin_to_close(self) -> None:
        """Start no more processes. Whoever has the channel tells this one to end."""
        self._closing.set()

    def close(self) -> None:
        """End the process, if it has not. Blocks until it has."""
        self.begin_to_close()
        self._thread.join(STOP_TIMEOUT_S)
        self._kill()
        self._thread.join()
        atexit.unregister(self._abandon)

    def _keep(self) -> None:
        """The keeper's thread."""
        while not self.is_closing:
            self._has_succeeded = False
            try:
                reason = self._run()
            except Exception as exc:  # Whatever it is, such as no memory for a process, it is tried again.
                logger.exception("%s cannot be started", self.name)
                reason = f"its process cannot be started: {exc}"
            self.n_failures += not self._has_succeeded
            if self.is_closing or not self._on_end(reason):
                return
            wait_s = min(MIN_WAIT_S * 2 ** (self.n_failures - 1), MAX_WAIT_S) if self.n_failures else 0.0
            self._closing.wait(wait_s)
            self.n_restarts += 1

    def _run(self) -> str:
        """Start a process and take what it tells until it has ended. Returns why it has."""
        pipe, process = self._start()
        self._process = process
        channel: Channel[Received, Sent] = Channel(pipe, name=f"to {self.name}", on_failure=process.kill)
        reason = ""
        try:
            self._on_start(channel)
            for message in channel.receive(timeout_s=self._max_silence_s):
                if why := self._take(message):
                    process.kill()
                    reason = why
        except Silence:
            process.kill()
            reason = f"it has told nothing for {self._max_silence_s:g} s"
        except BaseException:
            process.kill()
            raise
        finally:
            process.join(STOP_TIMEOUT_S)
            self._kill()  # It may have closed its end of the pipe, or hang in the middle of a message.
            process.join()
            channel.close()
        return reason or f"it has ended, with exit code {process.exitcode}"

    def _abandon(self) -> None:
        self._closing.set()
        self._kill()

    def _kill(self) -> None:
        if (process := self._process) is not None and process.is_alive():
            process.kill()
