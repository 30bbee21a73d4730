"""Every sequence ends exactly once, however its model, its request or the engine itself behaves."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Request, Status
from hf_asr_endpoint.errors import EngineError
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from tests.engine.callers import METHODS, Caller, make_attempt, run, submit
from tests.fake_model import FakeSpeechModel, Method


def test_cancelling_a_running_sequence_frees_its_slot_within_a_step(
    engine: Engine, model: FakeSpeechModel
) -> None:
    leaving, staying = Caller(*range(10)), Caller(*range(10))
    submit(engine, leaving, staying)
    engine.step()
    engine.step()
    leaving.sequence.request.token.cancel()
    model.calls.clear()
    engine.step()
    assert model.calls == [("free", (0,)), ("decode_step", (1,))]
    assert (leaving.ends, leaving.results, leaving.sequence.slot) == ([Status.CANCELLED], [], None)
    run(engine, staying)
    assert staying.results == [tuple(range(10))]
    assert leaving.ends == [Status.CANCELLED]


def test_cancelling_a_waiting_sequence_does_not_call_the_model(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(1)
    submit(engine, caller)
    caller.sequence.request.token.cancel()
    engine.step()
    assert caller.ends == [Status.CANCELLED]
    assert model.calls == []


def test_what_ends_after_its_cancellation_has_no_result(engine: Engine, model: FakeSpeechModel) -> None:
    """A model that decodes windows to their end in one call stops at any token of a request that has left."""
    caller = Caller()
    prefill = model.prefill

    def cancelling(states: Mapping[int, DecodingState]) -> None:
        assert not caller.sequence.state.has_left()
        caller.sequence.request.token.cancel()
        assert caller.sequence.state.has_left()
        prefill(states)

    model.prefill = cancelling  # type: ignore[method-assign]
    submit(engine, caller)
    engine.step()
    assert (caller.ends, caller.results) == ([Status.CANCELLED], [])


def test_a_request_is_cancelled_with_all_its_sequences(engine: Engine, model: FakeSpeechModel) -> None:
    request = Request()
    leaving = [Caller(*range(9), request=request) for _ in range(6)]
    staying = Caller(1)
    submit(engine, *leaving, staying)
    for _ in range(3):
        engine.step()
    request.token.cancel()
    engine.step()
    assert [caller.ends for caller in leaving] == [[Status.CANCELLED]] * 6
    run(engine, staying)
    assert staying.results == [(1,)]
    assert model.slots == set()


@pytest.mark.parametrize("method", METHODS)
def test_cancelling_during_a_step_takes_effect_in_the_next_one(
    engine: Engine, model: FakeSpeechModel, method: Method
) -> None:
    """In particular between its encoding and its prompt."""
    caller = Caller(1, 2, 3)
    inner = getattr(model, method)

    def cancelling(*arguments: object, **options: object) -> object:
        result = inner(*arguments, **options)
        caller.sequence.request.token.cancel()
        return result

    setattr(model, method, cancelling)
    submit(engine, caller)
    engine.step()
    assert caller.ends == []
    engine.step()
    assert caller.ends == [Status.CANCELLED]
    assert model.slots == set()


def test_a_sequence_paused_before_its_prompt_can_be_cancelled(engine: Engine, model: FakeSpeechModel) -> None:
    """A file's sequence begins its second attempt, and just then a clip comes: it is paused at that point."""
    file = Request()
    callers = [Caller(*range(30), request=file) for _ in range(2)]
    again = Caller(1, request=file, further=(make_attempt(is_encoded=True),))
    submit(engine, *callers, again)
    while not again.results:
        engine.step()
    submit(engine, Caller(*range(30)))
    n_before = model.calls.count(("prefill", (2,)))
    for _ in range(3):
        engine.step()
    assert model.calls.count(("prefill", (2,))) == n_before, "paused"
    file.token.cancel()
    engine.step()
    assert [caller.ends for caller in (*callers, again)] == [[Status.CANCELLED]] * 3


@pytest.mark.parametrize(("method", "affected"), [("encode", {2}), ("prefill", {2}), ("decode_step", {0, 1, 2})])
def test_a_model_error_fails_only_the_sequences_of_the_call(
    engine: Engine, model: FakeSpeechModel, method: Method, affected: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    callers = [Caller(*range(9)) for _ in range(3)]
    submit(engine, *callers)
    engine.step()
    engine.step()
    failure = MemoryError("no room")
    model.fail(method, failure)
    engine.step()
    assert {n for n, caller in enumerate(callers) if caller.ends} == affected
    for n in affected:
        assert callers[n].ends == [Status.FAILED]
        error = callers[n].sequence.error
        assert isinstance(error, EngineError)
        assert str(error) == "the model failed: MemoryError: no room"
        assert error.__cause__ is failure
    assert model.slots == set(range(3)) - affected
    assert "the model failed" in caplog.text
    later = Caller(4)
    submit(engine, later)
    run(engine, later, *callers)
    assert later.results == [(4,)]
    assert all(len(caller.ends) == 1 for caller in callers)
    assert all(callers[n].results == [tuple(range(9))] for n in {0, 1, 2} - affected)
    assert engine.failure is None


def test_an_error_in_a_second_attempt_fails_its_sequence(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(1, further=(make_attempt(is_encoded=True),))
    model.fail("prefill", ValueError("no"), after=1)
    submit(engine, caller)
    run(engine, caller)
    assert (caller.results, caller.ends) == ([(1,)], [Status.FAILED])
    assert model.slots == set()
