"""What the port takes for a client that has left."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from errno import EHOSTUNREACH, ETIMEDOUT

import pytest

from hf_asr_endpoint.api.live_socket import FAILED, Close
from hf_asr_endpoint.api.wyoming.wire import TcpWire


@pytest.mark.parametrize("number", [ETIMEDOUT, EHOSTUNREACH])
def test_a_client_that_the_network_gives_up_on_has_left(number: int) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        wire = TcpWire(reader, writer)
        reader.set_exception(OSError(number, "the network says so"))  # As its transport does.
        assert await wire.receive() is None
        with pytest.raises(ConnectionResetError):
            await wire.send({"type": "pong", "data": {}})
        with contextlib.suppress(ConnectionResetError):
            await wire.close(Close(FAILED))
        writer.transport.abort()
        theirs.close()
        await asyncio.sleep(0)  # Now the transport has closed its socket.

    asyncio.run(run())
