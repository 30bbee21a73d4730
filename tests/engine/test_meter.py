"""The engine counts what it does."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Request, Sequence, Stage, Status
from tests.engine.callers import Caller, make_attempt, run, started, submit
from tests.fake_model import FakeSpeechModel


def test_tokens_and_windows_are_counted(engine: Engine) -> None:
    first, second = Caller(1, 2, 3), Caller(11)
    submit(engine, first, second)
    run(engine, first, second)
    assert engine.meter.n_tokens == len((1, 2, 3)) + len((11,)) + 2, "each text ends with a token, too"
    assert engine.meter.ended == {Status.FINISHED: 2, Status.CANCELLED: 0, Status.FAILED: 0}
    assert engine.meter.n_fallbacks == 0


def test_a_window_that_is_decoded_again_is_a_fallback(engine: Engine) -> None:
    caller = Caller(1, further=(make_attempt(is_encoded=True), make_attempt(3)))
    submit(engine, caller)
    run(engine, caller)
    assert caller.results == [(1,), (1,), (3,)]
    assert engine.meter.n_fallbacks == 2
    assert engine.meter.ended[Status.FINISHED] == 1


def test_cancelled_and_failed_windows_are_counted(engine: Engine, model: FakeSpeechModel) -> None:
    token = CancellationToken()
    cancelled, failed = Caller(1, 2, 3, request=Request(token)), Caller(4)
    submit(engine, cancelled)
    token.cancel()
    engine.step()
    model.fail("prefill", RuntimeError("broken"))
    submit(engine, failed)
    run(engine, failed)
    assert engine.meter.ended == {Status.FINISHED: 0, Status.CANCELLED: 1, Status.FAILED: 1}


def test_time_is_counted_by_stage_also_of_a_failure(
    engine: Engine, model: FakeSpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.perf_counter", iter(range(100)).__next__)
    model.fail("decode_step", RuntimeError("broken"))
    caller = Caller(1, 2)
    submit(engine, caller)
    run(engine, caller)
    assert engine.meter.seconds == {Stage.ENCODE: 1, Stage.PREFILL: 1, Stage.DECODE: 1, Stage.ALIGN: 0}


def test_the_load_is_that_after_the_last_step(engine: Engine, model: FakeSpeechModel) -> None:
    with started(engine):
        caller = Caller(1, 2, 3)
        submit(engine, caller)
        caller.wait()
    assert (engine.meter.n_slots_in_use, engine.meter.n_waiting) == (0, 0)


def test_slots_are_free_before_the_end_is_told(engine: Engine) -> None:
    """The metrics said that they were in use, to whoever asked as soon as the answer had come."""
    caller = Caller(1, 2, 3)
    end, seen = caller.sequence.on_end, list[int]()

    def ask_and_end(sequence: Sequence) -> None:
        seen.append(engine.meter.n_slots_in_use)
        end(sequence)

    caller.sequence.on_end = ask_and_end
    submit(engine, caller)
    engine.step()
    engine.meter.n_slots_in_use = 1  # As the engine's thread counts after a step.
    run(engine, caller)
    assert seen == [0]
