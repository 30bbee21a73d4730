"""A session's inbox, with turns that are given by hand."""

from __future__ import annotations

import threading

import pytest

from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.transcription.live.actor import SessionActor
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.session import LiveSession
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.transcription.live.simulation import LoudnessDetector, ScriptedDecoder, script

ONE_SECOND = bytes(2 * SAMPLE_RATE)


class ThreadRecordingSession(LiveSession):
    """Records from which threads it is asked how much waits."""

    def __init__(self, options: LiveOptions) -> None:
        super().__init__(LoudnessDetector(), options)
        self.threads: set[int] = set()

    @property
    def waiting_s(self) -> float:
        self.threads.add(threading.get_ident())
        return super().waiting_s


def test_a_session_that_is_closed_with_audio_waiting_ends_without_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turns: list[SessionActor] = []
    ends: list[Exception | None] = []
    actor = SessionActor(
        LiveSession(LoudnessDetector(), LiveOptions(audio=PcmFormat(sample_rate=SAMPLE_RATE))),
        ScriptedDecoder(script(0)),
        enqueue=turns.append,
        on_events=lambda events: None,
        on_end=ends.append,
    )
    actor.push(ONE_SECOND)
    actor.close()
    actor.push(ONE_SECOND)
    turns.pop().take_turn()
    assert (turns, ends, caplog.messages) == ([], [None], [])


def test_a_session_is_asked_for_what_waits_only_in_its_turn() -> None:
    """Asked during one, its turns change under the question."""
    turns: list[SessionActor] = []
    session = ThreadRecordingSession(LiveOptions(audio=PcmFormat(sample_rate=SAMPLE_RATE)))
    actor = SessionActor(
        session,
        ScriptedDecoder(script(0)),
        enqueue=turns.append,
        on_events=lambda events: None,
        on_end=lambda error: None,
    )
    actor.push(ONE_SECOND)
    assert actor.waiting_s == 1.0
    worker = threading.Thread(target=turns.pop().take_turn)
    worker.start()
    worker.join()
    assert actor.waiting_s == 0.0
    assert threading.get_ident() not in session.threads
