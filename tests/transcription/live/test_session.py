"""What a session tells, and what it has decoded, in simulated time."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.errors import EngineError
from hf_asr_endpoint.transcription.live.events import (
    Cleared,
    CommitRefused,
    Committed,
    Completed,
    Configured,
    Delta,
    Failed,
    IdleTimeout,
    Interim,
    SpeechStarted,
    SpeechStopped,
)
from hf_asr_endpoint.transcription.live.jobs import FinalJob, PartialJob
from hf_asr_endpoint.transcription.live.options import LiveOptions, SemanticVad, ServerVad
from hf_asr_endpoint.transcription.live.session import MAX_PIECE
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.transcription.live.simulation import Simulation, loud, script, silent, simulate, word

BLOCK_S = 0.15  # in which an event may be late, because audio is searched in blocks
VAD, BY_HAND = LiveOptions(), LiveOptions(turn_detection=None)
ONE_SECOND = script(2, start=1.0)


def completed(simulation: Simulation) -> list[str]:
    return [event.text for event in simulation.of(Completed) if isinstance(event, Completed)]


def test_a_turn_is_told_from_its_beginning_to_its_text() -> None:
    simulation = simulate(VAD, ONE_SECOND)
    simulation.push(silent(1.0))
    simulation.push(loud(1.0))
    simulation.push(silent(1.0))
    told = list(simulation.of(SpeechStarted, SpeechStopped, Committed, Completed))
    assert [type(event) for event in told] == [SpeechStarted, SpeechStopped, Committed, Completed]
    started, stopped, _, text = told
    assert isinstance(started, SpeechStarted)
    assert started.at_s == pytest.approx(0.7, abs=BLOCK_S)
    assert isinstance(stopped, SpeechStopped)
    assert stopped.at_s == pytest.approx(2.5, abs=BLOCK_S)
    assert isinstance(text, Completed)
    assert (text.text, text.language) == ("w0 w1", "en")
    assert text.duration_s == pytest.approx(1.8, abs=2 * BLOCK_S)
    assert simulation.shown(1) == " w0 w1"


def test_words_are_shown_while_somebody_speaks() -> None:
    words = script(20)
    simulation = simulate(VAD, words)
    simulation.push(loud(10.0))
    lags = [
        at_s - one.word.end for at_s, event in simulation.events if isinstance(event, Delta) for one in event.words
    ]
    assert len(lags) >= 17
    assert max(lags) < 1.5
    simulation.push(silent(1.0))
    assert simulation.shown(1) == "".join(one.text for one in words)
    assert completed(simulation) == [simulation.shown(1).strip()]


def test_what_is_not_certain_yet_is_told_behind_the_deltas() -> None:
    words = script(20)
    simulation = simulate(VAD, words)
    simulation.push(loud(10.0))
    interims = [event for event in simulation.of(Interim) if isinstance(event, Interim)]
    assert len(interims) > 10
    shown = ""
    for _, event in simulation.events:
        if isinstance(event, Delta):
            shown += "".join(one.text for one in event.words)
        if isinstance(event, Interim):
            told = shown + "".join(one.text for one in event.words)
            assert "".join(one.text for one in words).startswith(told)
    first_told = next(at_s for at_s, event in simulation.events if isinstance(event, Interim))
    assert first_told < simulation.at(Delta)
    simulation.push(silent(1.0))
    told_last = simulation.of(Interim, Completed)[-1]
    assert isinstance(told_last, Completed)


def test_a_certain_word_is_shown_by_a_single_pass() -> None:
    simulation = simulate(VAD, [word("yes", 0.1, 0.4, probability=0.95)], delay_s=0.01)
    simulation.push(loud(2.0))
    assert simulation.shown(1) == " yes"


def test_the_final_pass_begins_before_the_turn_ends() -> None:
    simulation = simulate(VAD, ONE_SECOND, delay_s=0.25)
    simulation.push(silent(1.0))
    simulation.push(loud(1.0))
    simulation.push(silent(0.7))
    [begun_s] = [at_s for at_s, job in simulation.jobs if isinstance(job, FinalJob)]
    assert begun_s == pytest.approx(2.2, abs=BLOCK_S)
    assert simulation.at(Completed) == simulation.at(Committed)


def test_a_final_pass_is_dropped_when_speech_returns() -> None:
    simulation = simulate(VAD, script(8), delay_s=0.6)
    for waveform in (loud(1.0), silent(0.35), loud(1.5), silent(1.5)):
        simulation.push(waveform)
    first, last = simulation.jobs_of(FinalJob)
    assert first.token.is_cancelled
    assert not last.token.is_cancelled
    assert last.end_s == pytest.approx(3.15, abs=BLOCK_S)
    assert len(completed(simulation)) == 1


def test_silence_is_never_decoded() -> None:
    simulation = simulate(VAD, script(100))
    simulation.push(silent(60.0))
    assert not simulation.jobs
    assert not simulation.events


def test_without_turn_detection_only_the_caller_ends_a_turn() -> None:
    simulation = simulate(BY_HAND, script(6))
    for _ in range(2):
        simulation.push(loud(1.0))
        simulation.push(silent(1.0))
    assert not simulation.of(SpeechStarted, SpeechStopped, Committed)
    simulation.command(simulation.session.commit)
    simulation.settle()
    assert [type(event) for event in simulation.of(Committed, Completed)] == [Committed, Completed]
    assert completed(simulation) == ["w0 w1 w2 w3 w4 w5"]


def test_a_turn_of_silence_has_an_empty_text() -> None:
    simulation = simulate(BY_HAND)
    simulation.push(silent(0.2))
    simulation.command(simulation.session.commit)
    assert completed(simulation) == [""]
    assert not simulation.jobs


def test_too_little_audio_is_no_turn() -> None:
    simulation = simulate(BY_HAND)
    simulation.push(loud(0.05))
    simulation.command(lambda: simulation.session.commit("e1"))
    [refused] = simulation.of(CommitRefused, Committed)
    assert isinstance(refused, CommitRefused)
    assert refused.buffered_s == pytest.approx(0.05)
    assert refused.tag == "e1"


def test_audio_that_is_cleared_has_no_text() -> None:
    simulation = simulate(BY_HAND, script(4))
    simulation.push(loud(2.0))
    simulation.command(simulation.session.clear)
    simulation.command(simulation.session.commit)
    simulation.settle()
    assert [type(event) for event in simulation.of(Cleared, CommitRefused, Committed, Completed)] == [
        Cleared,
        CommitRefused,
    ]


@pytest.mark.parametrize(("last", "end_s"), [("done.", 2.5), ("and", 6.0), ("so...", 6.0)])
def test_a_whole_sentence_ends_a_semantic_turn_sooner(last: str, end_s: float) -> None:
    options = LiveOptions(turn_detection=SemanticVad(max_wait_s=4.0))
    simulation = simulate(options, [word(last, 1.2, 1.9)])
    simulation.push(silent(1.0))
    simulation.push(loud(1.0))
    simulation.push(silent(6.0))
    assert simulation.at(Committed) == pytest.approx(end_s, abs=BLOCK_S)
    assert simulation.at(Delta) < 2.8


def test_a_long_turn_is_decoded_in_pieces() -> None:
    words = script(140)
    simulation = simulate(BY_HAND, words)
    simulation.push(loud(30.0))
    simulation.push(silent(0.3))
    simulation.push(loud(40.0))
    simulation.command(simulation.session.commit)
    simulation.settle()
    finals = list(simulation.jobs_of(FinalJob))
    kept = [job for job in finals if not job.token.is_cancelled]
    assert all(job.duration_s <= MAX_PIECE / SAMPLE_RATE + 1 for job in finals)
    assert len(kept) >= 3
    assert completed(simulation)[0].split() == [one.text.strip() for one in words]


def test_audio_faster_than_it_is_decoded_has_finals_only() -> None:
    words = script(100)
    simulation = simulate(BY_HAND, words)
    simulation.push(loud(50.0), is_behind=True)
    assert not list(simulation.jobs_of(PartialJob))
    simulation.command(simulation.session.commit)
    simulation.settle()
    assert completed(simulation)[0].split() == [one.text.strip() for one in words]


def test_audio_that_waits_for_the_engine_is_counted() -> None:
    simulation = simulate(BY_HAND, script(100), delay_s=1000.0)
    simulation.push(loud(45.0), is_behind=True)
    assert 10 < simulation.session.waiting_s < 30


def test_turns_come_in_order_though_the_second_is_decoded_first() -> None:
    simulation = simulate(VAD, script(20), delay_s=1.2)
    for waveform in (loud(1.0), silent(0.8), loud(1.0), silent(0.8)):
        simulation.push(waveform)
    simulation.delay_s = 0.0
    simulation.settle()
    told = simulation.of(Delta, Completed)
    assert [event.turn for event in told if isinstance(event, Delta | Completed)] == sorted(
        event.turn for event in told if isinstance(event, Delta | Completed)
    )
    assert len(completed(simulation)) == 2


def test_a_turn_whose_decoding_fails_does_not_end_the_session() -> None:
    simulation = simulate(VAD, script(20))
    simulation.failure = EngineError("broken")
    simulation.push(loud(1.0))
    simulation.push(silent(1.0))
    simulation.failure = None
    simulation.push(loud(1.0))
    simulation.push(silent(1.0))
    failed, text = simulation.of(Failed, Completed)
    assert isinstance(failed, Failed)
    assert (failed.turn, str(failed.error)) == (1, "broken")
    assert isinstance(text, Completed)
    assert "w4 w5" in text.text


def test_an_idle_session_is_told_once_behind_each_turn() -> None:
    simulation = simulate(LiveOptions(turn_detection=ServerVad(idle_timeout_s=5.0)), script(3))
    simulation.push(silent(10.0))
    assert not simulation.events
    simulation.push(loud(1.0))
    simulation.push(silent(20.0))
    [timeout] = simulation.of(IdleTimeout)
    assert isinstance(timeout, IdleTimeout)
    assert timeout.end_s - timeout.start_s == pytest.approx(5.0, abs=BLOCK_S)
    assert [type(event) for event in simulation.of(Committed, Completed)] == [Committed, Completed] * 2


def test_options_change_between_two_turns() -> None:
    simulation = simulate(VAD, script(20))
    simulation.push(loud(1.0))
    simulation.push(silent(1.0))
    simulation.command(lambda: simulation.session.configure(BY_HAND, "e2"))
    simulation.push(loud(1.0))
    simulation.push(silent(2.0))
    assert simulation.of(Configured) == [Configured(tag="e2")]
    assert len(simulation.of(Committed)) == 1


def test_a_session_that_finishes_ends_its_turn() -> None:
    simulation = simulate(VAD, script(2))
    simulation.push(loud(1.0))
    simulation.command(simulation.session.finish)
    simulation.settle()
    assert completed(simulation) == ["w0 w1"]
    assert not simulation.session.has_turns


def test_a_session_that_finishes_without_speech_leaves_no_turn_to_wait_for() -> None:
    simulation = simulate(BY_HAND)
    simulation.push(silent(1.0))
    simulation.command(simulation.session.finish)
    assert not simulation.session.has_turns
    assert simulation.events == []


def test_a_session_that_finishes_long_after_speech_has_its_text() -> None:
    simulation = simulate(BY_HAND, script(2))
    simulation.push(loud(1.0))
    simulation.push(silent(10.0))
    simulation.command(simulation.session.finish)
    simulation.settle()
    assert completed(simulation) == ["w0 w1"]
    assert not simulation.session.has_turns


def test_a_busy_engine_ends_one_turn_before_it_shows_another() -> None:
    simulation = simulate(VAD, script(20), delay_s=2.5)
    for waveform in (loud(1.0), silent(0.8), loud(2.0)):
        simulation.push(waveform)
    final_s = next(at_s for at_s, job in simulation.jobs if isinstance(job, FinalJob))
    partials_s = [at_s for at_s, job in simulation.jobs if isinstance(job, PartialJob)]
    assert [at_s for at_s in partials_s if 1.8 < at_s < final_s + 2.4] == []
    assert partials_s[-1] > final_s + 2.4
