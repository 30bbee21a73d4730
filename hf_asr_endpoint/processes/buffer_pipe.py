"""A pipe for messages with large arrays: these are neither copied into the pickle nor out of it.

A message is pickled by protocol 5, whose buffers travel behind it as they are, and arrive in memory of their own
(https://peps.python.org/pep-0574/). The calls that move them leave Python's lock to other threads.
"""

from __future__ import annotations

import pickle
import select
import socket
import struct
from typing import Any

import numpy as np

_HEADER = struct.Struct("<QQ")
"""Before each message: the bytes of its pickle, and how many buffers follow. Their sizes precede the pickle."""
_SIZE_BYTES = 8


class BufferPipe:
    """One end of a pair of connected sockets. A `Pipe`; what is unpickled comes from the other end alone."""

    def __init__(self, end: socket.socket, *, max_stall_s: float | None = None) -> None:
        """max_stall_s: for which a message that has begun may stand still; then `recv` raises OSError."""
        self._socket = end
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)
        if max_stall_s is not None:
            # Not `settimeout`, which would make each part of a message a call of its own.
            timeval = struct.pack("@ll", int(max_stall_s), int(max_stall_s % 1 * 1e6))
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)

    def poll(self, timeout: float | None, /) -> bool:
        """Wait for a message for some seconds, or for ever. Returns whether one has begun, or the end is there."""
        return bool(self._poll.poll(None if timeout is None else timeout * 1000))

    def send(self, message: Any, /) -> None:
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
        sizes = struct.pack(f"<{len(buffers)}Q", *(len(part) for part in parts[1:]))
        waiting = [memoryview(_HEADER.pack(len(body), len(buffers)) + sizes), *parts]
        while waiting:
            n_sent = self._socket.sendmsg(waiting)
            while waiting and n_sent >= len(waiting[0]):
                n_sent -= len(waiting.pop(0))
            if waiting:
                waiting[0] = waiting[0][n_sent:]

    def recv(self) -> Any:
        """Raises EOFError when the other side has gone."""
        n_pickled, n_buffers = _HEADER.unpack(self._receive(_HEADER.size))
        begin = n_buffers * _SIZE_BYTES
        head = self._receive(begin + n_pickled)  # In one call: each one gives Python's lock away and back.
        buffers = [self._receive(size) for size in struct.unpack(f"<{n_buffers}Q", head[:begin])]
        return pickle.loads(head[begin:], buffers=buffers)

    def close(self) -> None:
        self._socket.close()

    def _receive(self, n_bytes: int) -> memoryview:
        received = waiting = np.empty(n_bytes, np.uint8).data  # Unlike a bytearray, not filled with zeros first.
        while len(waiting):
            n_new = self._socket.recv_into(waiting, len(waiting), socket.MSG_WAITALL)
            if n_new == 0:
                raise EOFError
            waiting = waiting[n_new:]
        return received
