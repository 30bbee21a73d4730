"""The port of a live session in another process, without that process."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.engine_processes.live import RemoteSession
from hf_asr_endpoint.engine_processes.messages import Call, Cancel, Ended, Opened, Taken
from hf_asr_endpoint.errors import EngineLost
from hf_asr_endpoint.transcription.live.events import Committed, LiveEvent
from hf_asr_endpoint.transcription.live.options import LiveOptions

SECOND = bytes(32_000)


class Caller:
    """Whoever has the session, with all that it is told."""

    def __init__(self) -> None:
        self.events: list[Sequence[LiveEvent]] = []
        self.ends: list[Exception | None] = []
        self.told: list[Call | Cancel] = []
        self.session = RemoteSession(LiveOptions(audio=PcmFormat(sample_rate=16_000)))
        self.session.connect(self.events.append, self.ends.append)
        self.session.tell = self.told.append


def test_audio_waits_until_it_is_taken() -> None:
    caller = Caller()
    session = caller.session
    for _ in range(3):
        session.push(SECOND)
    assert session.waiting_s == 3.0
    session.take(Taken())
    session.take(Committed(turn=0))
    assert session.waiting_s == 2.0
    assert caller.events == [(), (Committed(turn=0),)]
    assert caller.told == [Call("push", (SECOND,))] * 3


def test_a_session_that_is_refused_never_opens() -> None:
    caller = Caller()
    caller.session.take(Ended(EngineLost("it has ended")))
    with pytest.raises(EngineLost):
        caller.session.opened.result(0)
    assert caller.ends == []


def test_the_end_of_an_open_session_is_told() -> None:
    caller = Caller()
    lost = EngineLost("it has ended")
    caller.session.take(Opened())
    caller.session.take(Ended(lost))
    assert caller.session.opened.result(0) is None
    assert caller.ends == [lost]


def test_a_session_whose_end_is_told_before_its_opening_ends() -> None:
    """Whoever closes the engine tells the one, and the engine's thread the other."""
    caller = Caller()
    lost = EngineLost("it has ended")
    caller.session.take(Ended(lost))
    caller.session.take(Opened())
    assert caller.session.opened.exception(0) is lost
    caller.session.take(Ended(lost))
    assert caller.ends == [lost]


def test_closing_ends_the_session_there_and_here() -> None:
    caller = Caller()
    caller.session.take(Opened())
    caller.session.close()
    assert (caller.told, caller.ends) == ([Cancel()], [None])
