"""Messages over a pair of sockets: small ones, large arrays, and another side that goes or stops."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from hf_asr_endpoint.processes.buffer_pipe import BufferPipe
from tests.fakes import DEADLINE_S

Ends = tuple[BufferPipe, BufferPipe]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = (BufferPipe(end, max_stall_s=0.2) for end in socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_message_waits_until_it_is_received(ends: Ends) -> None:
    ours, theirs = ends
    assert not theirs.poll(0.0)
    ours.send(("small", None, b""))
    assert theirs.poll(DEADLINE_S)
    assert theirs.recv() == ("small", None, b"")
    assert not theirs.poll(0.0)


def test_arrays_arrive_as_they_were_and_can_be_written(ends: Ends) -> None:
    """Each is larger than what the sockets hold, and torch warns of arrays that are read-only."""
    ours, theirs = ends
    sent = [
        np.random.default_rng(0).normal(size=(80, 3000)).astype(np.float32),
        np.zeros((0, 3)),
        np.arange(9)[::2],
    ]
    thread = threading.Thread(target=ours.send, args=(sent,))
    thread.start()
    received = theirs.recv()
    thread.join(DEADLINE_S)
    for one, other in zip(sent, received, strict=True):
        np.testing.assert_array_equal(one, other)
        assert other.flags.writeable


def test_the_end_is_told_when_the_other_side_has_gone(ends: Ends) -> None:
    ours, theirs = ends
    theirs.close()
    assert ours.poll(DEADLINE_S)
    with pytest.raises(EOFError):
        ours.recv()
    with pytest.raises(OSError, match="Broken pipe"):
        ours.send("nobody hears it")


def test_a_message_that_stops_in_its_middle_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        pipe = BufferPipe(theirs, max_stall_s=0.05)
        ours.sendall(b"\x01")
        assert pipe.poll(DEADLINE_S)
        with pytest.raises(BlockingIOError):
            pipe.recv()
        pipe.close()
