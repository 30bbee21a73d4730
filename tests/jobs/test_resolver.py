from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.jobs.addresses import AllowedHosts
from hf_asr_endpoint.jobs.resolver import N_LOOKUPS, Resolver
from hf_asr_endpoint.jobs.webhook_url import AddressGuard

N_HOSTS = 64  # more than either sort of threads
DEADLINE_S = 20.0


class SlowNameServer:
    """Answers nobody until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.n_asked = 0

    def lookup(self, host: str, port: int, **options: Any) -> Sequence[tuple[Any, ...]]:
        self.n_asked += 1
        self.released.wait(DEADLINE_S)
        return [(0, 0, 0, "", ("8.8.8.8", port)), (0, 0, 0, "", ("8.8.8.8", port))]


def test_a_slow_name_server_holds_up_no_thread_of_the_server() -> None:
    """Six webhooks at names whose server is slow took all threads of the event loop on a machine of two cores:
    bodies were no longer read, and no job was written, until the names had an answer."""

    async def work() -> None:
        server = SlowNameServer()
        guard = AddressGuard(AllowedHosts(), resolve=Resolver(server.lookup))
        asking = [asyncio.create_task(guard.addresses(f"{n}.example", 80)) for n in range(N_HOSTS)]
        try:
            while server.n_asked < N_LOOKUPS:
                await asyncio.sleep(0.005)
            assert await asyncio.to_thread(lambda: "a thread") == "a thread"
            assert await guard.addresses("8.8.4.4", 80) == [ipaddress.ip_address("8.8.4.4")]
        finally:
            server.released.set()
            answers = await asyncio.gather(*asking)
        assert answers == [[ipaddress.ip_address("8.8.8.8")]] * N_HOSTS

    asyncio.run(asyncio.wait_for(work(), DEADLINE_S))


def test_the_guard_asks_the_system_by_default() -> None:
    with pytest.raises(InvalidParameter, match="'localhost', which is no public address"):
        asyncio.run(AddressGuard(AllowedHosts()).addresses("localhost", 80))
