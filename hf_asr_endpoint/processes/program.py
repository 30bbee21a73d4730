"""A module of this package as a process of its own, at the other end of a pipe.

It is started like a program, not by multiprocessing: that would import the main module of whoever uses this
package, and refuses children of processes such as engines. On Windows, a process cannot be handed a socket so.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

from hf_asr_endpoint.processes.buffer_pipe import BufferPipe

MAX_STALL_S = 30.0
"""A process that does not go on with a message for so long hangs."""


class Program:
    """A `ChildProcess` that runs a module."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    @property
    def exitcode(self) -> int | None:
        return self._process.returncode

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()

    def join(self, timeout: float | None = None) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)


def start_program(module: str, *, variables: Mapping[str, str]) -> tuple[BufferPipe, Program]:
    """Start a module, whose argument is the file descriptor of its end of the pipe. Raises OSError.

    variables: of its environment, beside this process's.
    """
    ours, theirs = socket.socketpair()
    path = os.pathsep.join(sys.path)  # It finds the package wherever this process has.
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path, **variables},
                pass_fds=(theirs.fileno(),),
            )
        except BaseException:
            ours.close()
            raise
    return BufferPipe(ours, max_stall_s=MAX_STALL_S), Program(process)


def connect_to_parent() -> BufferPipe:
    """Return this end of the pipe, in a module that `start_program` has started."""
    return BufferPipe(socket.socket(fileno=int(sys.argv[1])))
