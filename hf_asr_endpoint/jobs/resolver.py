"""Host names to addresses, by the system, in threads of its own."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hf_asr_endpoint.jobs.addresses import IPAddress

N_LOOKUPS = 16  # at a time

Lookup = Callable[..., Sequence[tuple[Any, ...]]]


class Resolver:
    """A Resolve. lookup: blocks and answers as `socket.getaddrinfo` does.

    The event loop's own lookups share a few threads with everything else that blocks. Whoever sends a webhook may
    run its name server too, and let each answer take half a minute: a handful of them would stop the whole server.
    """

    def __init__(self, lookup: Lookup = socket.getaddrinfo, *, n_lookups: int = N_LOOKUPS) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(n_lookups, "resolver")

    async def __call__(self, host: str, port: int) -> Sequence[IPAddress]:
        """Return a host's addresses; one that is spelled as an address waits for no other. Raises OSError."""
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, self._find, host, port)
        # An address of IPv6 may come with a zone, which belongs to the one sort that is never public.
        return [ipaddress.ip_address(text) for text in dict.fromkeys(str(address[0]) for *_, address in found)]

    def _find(self, host: str, port: int) -> Sequence[tuple[Any, ...]]:
        return self._lookup(host, port, type=socket.SOCK_STREAM)
