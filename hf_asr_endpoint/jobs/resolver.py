"""Resolves host names with the system's resolver. Does not know which addresses are allowed."""

from __future__ import annotations

import asyncio
import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

from hf_asr_endpoint.errors import JobsUnavailable
from hf_asr_endpoint.jobs.addresses import IPAddress

MAX_THREADS = 16
JOIN_TIMEOUT_S = 1.0

Lookup = Callable[..., Sequence[tuple[Any, ...]]]
"""Blocks, and returns what `socket.getaddrinfo` returns."""

_Found: TypeAlias = Sequence[tuple[Any, ...]]


class SystemResolver:
    """A Resolver over `socket.getaddrinfo`, which blocks and cannot be interrupted.

    It does not use the event loop's thread pool, which the whole server shares: clients choose the host names, and
    a few names whose name server answers after half a minute would occupy all its threads. Its threads are daemons
    and not those of a ThreadPoolExecutor, for which the interpreter waits before it exits.
    """

    def __init__(self, lookup: Lookup = socket.getaddrinfo, *, max_threads: int = MAX_THREADS) -> None:
        self._lookup = lookup
        self._max_threads = max_threads
        self._threads: list[threading.Thread] = []
        self._queue: queue.SimpleQueue[tuple[Future[_Found], str, int] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # Nothing is queued after `close` has emptied the queue.
        self._is_closed = False

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        """Return the addresses of a host, at once if the host is itself an address.

        Raises OSError or UnicodeError if it has none, JobsUnavailable if the resolver is closed before the lookup
        begins.
        """
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            found = await asyncio.wrap_future(self._submit(host, port))
        # A link-local IPv6 address may have a zone, which `ip_address` accepts.
        return [ipaddress.ip_address(text) for text in dict.fromkeys(str(address[0]) for *_, address in found)]

    def close(self) -> None:
        """End the threads. Blocks for at most JOIN_TIMEOUT_S.

        After this, no lookup begins, queued lookups have raised JobsUnavailable, and idle threads have ended. A
        thread in the middle of a lookup ends when the system returns from it, and does not delay the exit of the
        process.
        """
        with self._lock:
            self._is_closed = True
            while (waiting := self._next_queued()) is not None:
                if waiting.set_running_or_notify_cancel():
                    waiting.set_exception(_shutting_down())
            for _ in self._threads:
                self._queue.put(None)
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _submit(self, host: str, port: int) -> Future[_Found]:
        future: Future[_Found] = Future()
        with self._lock:
            if self._is_closed:
                raise _shutting_down()
            self._queue.put((future, host, port))
            if len(self._threads) < self._max_threads:
                thread = threading.Thread(target=self._run, name="resolver", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def _next_queued(self) -> Future[_Found] | None:
        try:
            lookup = self._queue.get_nowait()
        except queue.Empty:
            return None
        return lookup and lookup[0]

    def _run(self) -> None:
        while (lookup := self._queue.get()) is not None:
            future, host, port = lookup
            if not future.set_running_or_notify_cancel():
                continue  # The caller stopped waiting before the lookup began.
            try:
                found = self._lookup(host, port, type=socket.SOCK_STREAM)
            except BaseException as exc:
                future.set_exception(exc)
            else:
                future.set_result(found)


def _shutting_down() -> JobsUnavailable:
    return JobsUnavailable("the server is shutting down")
