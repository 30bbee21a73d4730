from __future__ import annotations

import asyncio
import ipaddress
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from hf_asr_endpoint.errors import InvalidParameter, JobsUnavailable
from hf_asr_endpoint.jobs.addresses import AddressGuard, AllowedHosts
from hf_asr_endpoint.jobs.resolver import JOIN_TIMEOUT_S, MAX_THREADS, SystemResolver
from tests.jobs.running import resolver_threads

N_HOSTS = 64  # more than the resolver's threads, and than the event loop's
DEADLINE_S = 20.0

EXIT_DURING_A_LOOKUP = """
import asyncio, threading
from hf_asr_endpoint.jobs.resolver import SystemResolver

started = threading.Event()

def lookup(host, port, **options):
    started.set()
    threading.Event().wait()

async def main():
    resolver = SystemResolver(lookup)
    resolving = asyncio.create_task(resolver.resolve("slow.example", 80))
    await asyncio.to_thread(started.wait)
    resolving.cancel()
    resolver.close()

asyncio.run(main())
print("closed")
"""


class SlowNameServer:
    """Answers after it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.n_lookups = 0

    def lookup(self, host: str, port: int, **options: Any) -> Sequence[tuple[Any, ...]]:
        self.n_lookups += 1
        self.released.wait(DEADLINE_S)
        return [(0, 0, 0, "", ("8.8.8.8", port)), (0, 0, 0, "", ("8.8.8.8", port))]


@pytest.fixture
def name_server() -> Iterator[SlowNameServer]:
    server = SlowNameServer()
    yield server
    server.released.set()
    for thread in resolver_threads():
        thread.join(DEADLINE_S)


def wait_for_lookups(server: SlowNameServer, n_lookups: int) -> None:
    while server.n_lookups < n_lookups:
        time.sleep(0.005)


def test_slow_name_server_blocks_no_other_thread_of_the_server(name_server: SlowNameServer) -> None:
    """Six webhooks with host names of a slow name server occupied all threads of the event loop on a machine with
    two cores: until the lookups ended, no request was read and no job was stored."""

    async def work() -> None:
        guard = AddressGuard(AllowedHosts(), SystemResolver(name_server.lookup))
        lookups = [asyncio.create_task(guard.resolve(f"{n}.example", 80)) for n in range(N_HOSTS)]
        while name_server.n_lookups < MAX_THREADS:
            await asyncio.sleep(0.005)
        assert await asyncio.to_thread(lambda: "a thread") == "a thread"
        assert await guard.resolve("8.8.4.4", 80) == [ipaddress.ip_address("8.8.4.4")]
        name_server.released.set()
        assert await asyncio.gather(*lookups) == [[ipaddress.ip_address("8.8.8.8")]] * N_HOSTS
        guard.close()
        assert resolver_threads() == []

    asyncio.run(asyncio.wait_for(work(), DEADLINE_S))


def test_close_does_not_wait_for_a_lookup_in_progress(name_server: SlowNameServer) -> None:
    async def work() -> None:
        resolver = SystemResolver(name_server.lookup, max_threads=1)
        in_progress, queued, cancelled = (
            asyncio.create_task(resolver.resolve(f"{n}.example", 80)) for n in range(3)
        )
        await asyncio.to_thread(wait_for_lookups, name_server, 1)
        cancelled.cancel()
        await asyncio.sleep(0)
        began = time.monotonic()
        await asyncio.to_thread(resolver.close)
        assert time.monotonic() - began < 5 * JOIN_TIMEOUT_S
        with pytest.raises(JobsUnavailable, match="shutting down"):
            await queued
        with pytest.raises(JobsUnavailable, match="shutting down"):
            await resolver.resolve("late.example", 80)
        name_server.released.set()
        assert await in_progress == [ipaddress.ip_address("8.8.8.8")]
        assert name_server.n_lookups == 1

    asyncio.run(asyncio.wait_for(work(), DEADLINE_S))


def test_lookup_in_progress_does_not_delay_the_exit_of_the_process() -> None:
    """The interpreter waited for the threads of the executor: up to half a minute for each server's end."""
    result = subprocess.run(
        [sys.executable, "-c", EXIT_DURING_A_LOOKUP], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert (result.returncode, result.stdout) == (0, "closed\n"), result.stderr


def test_error_of_the_system_is_raised() -> None:
    def lookup(host: str, port: int, **options: Any) -> Sequence[tuple[Any, ...]]:
        raise OSError("Name or service not known")

    async def work() -> None:
        resolver = SystemResolver(lookup)
        with pytest.raises(OSError, match="not known"):
            await resolver.resolve("none.example", 80)
        resolver.close()

    asyncio.run(work())


def test_resolves_with_the_system() -> None:
    with closing(AddressGuard(AllowedHosts(), SystemResolver())) as guard:
        with pytest.raises(InvalidParameter, match="'localhost', which is not a public address"):
            asyncio.run(guard.resolve("localhost", 80))
        assert len(resolver_threads()) == 1
    assert resolver_threads() == []
