"""A session's inbox, with turns that are given by hand."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.transcription.live.actor import SessionActor
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.session import LiveSession
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.transcription.live.simulation import LoudnessDetector, ScriptedDecoder, script

ONE_SECOND = bytes(2 * SAMPLE_RATE)


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
