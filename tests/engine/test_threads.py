"""The engine in its own thread: it waits for work, is closed, and takes every sequence with it when it dies."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.scheduler import Scheduler
from hf_asr_endpoint.engine.sequence import Sequence, Status
from hf_asr_endpoint.errors import EngineUnavailable
from tests.engine.callers import N_SLOTS, Caller, started, submit
from tests.fake_model import EOT, FakeSpeechModel
from tests.fakes import DEADLINE_S


def test_the_thread_waits_for_work(engine: Engine) -> None:
    with started(engine):
        for tokens in [(1, 2), (), (3,)]:
            caller = Caller(*tokens)
            submit(engine, caller)
            caller.wait()
            assert caller.results == [tokens]
    assert caller.ends == [Status.FINISHED]


def test_many_threads_may_submit_and_cancel(engine: Engine, model: FakeSpeechModel) -> None:
    callers = [Caller(*range(n % 7)) for n in range(120)]

    def use(part: list[Caller]) -> None:
        for n, caller in enumerate(part):
            engine.submit(caller.sequence)
            if n % 3 == 0:
                caller.sequence.request.token.cancel()

    threads = [threading.Thread(target=use, args=(callers[n::4],)) for n in range(4)]
    with started(engine):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        for caller in callers:
            caller.wait()
    for n, caller in enumerate(callers):
        finished = caller.ends == [Status.FINISHED] and caller.results == [tuple(range(n % 7))]
        assert finished or (caller.ends == [Status.CANCELLED] and caller.sequence.request.is_cancelled)
    assert model.slots == set()


def test_closing_ends_running_and_waiting_sequences(engine: Engine, model: FakeSpeechModel) -> None:
    callers = [Caller(*range(50)) for _ in range(7)]
    with started(engine):
        model.hold()
        submit(engine, *callers)
        assert model.is_held.wait(DEADLINE_S)
        late = Caller(1)
        submit(engine, late)
        closing = threading.Thread(target=engine.close)
        closing.start()
        model.release()
        closing.join(DEADLINE_S)
        assert not closing.is_alive()
    for caller in (*callers, late):
        assert caller.ends == [Status.FAILED]
        assert isinstance(caller.sequence.error, EngineUnavailable)
        assert str(caller.sequence.error) == "the server is shutting down"
        assert caller.sequence.slot is None


def test_a_closed_engine_refuses_sequences(engine: Engine) -> None:
    with started(engine):
        assert engine.failure is None
    assert isinstance(engine.failure, EngineUnavailable)
    caller = Caller(1)
    with pytest.raises(EngineUnavailable, match="shutting down"):
        submit(engine, caller)
    assert caller.ends == []
    engine.close()


def test_closing_an_engine_that_never_started(engine: Engine) -> None:
    engine.close()


def break_model(model: FakeSpeechModel, engine: Engine) -> None:
    model.fail("decode_step", KeyboardInterrupt("stop"), after=3)


def break_scheduler(model: FakeSpeechModel, engine: Engine) -> None:
    calls = iter(range(9))
    inner = Scheduler.batch

    class Broken(Scheduler):
        def batch(self) -> list[Sequence]:
            if next(calls) == 8:
                raise KeyError("lost")
            return inner(self)

    engine._scheduler = Broken(slots=N_SLOTS)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        pytest.param(break_model, "KeyboardInterrupt: stop", id="not even an Exception"),
        pytest.param(break_scheduler, "KeyError: 'lost'", id="a bug in the scheduler"),
    ],
)
def test_when_the_thread_dies_every_sequence_fails_with_the_reason(
    engine: Engine,
    model: FakeSpeechModel,
    break_it: Callable[[FakeSpeechModel, Engine], None],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    break_it(model, engine)
    model.hold()
    callers = [Caller(*range(50)) for _ in range(7)]
    with started(engine):
        submit(engine, *callers)
        model.release()
        for caller in callers:
            caller.wait()
        engine._thread.join(DEADLINE_S)
    for caller in callers:
        assert caller.ends == [Status.FAILED]
        assert isinstance(caller.sequence.error, EngineUnavailable)
    assert str(engine.failure) == f"the engine has stopped: {reason}"
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    with pytest.raises(EngineUnavailable, match="has stopped"):
        submit(engine, Caller(1))


def test_an_exception_in_one_callback_does_not_stop_other_sequences(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """A callback's exception once ended the engine's thread, and every other request waited for ever."""
    callers = [Caller(*range(5, 25)) for _ in range(6)]
    callers[1].sequence.on_attempt = lambda state: [][0]
    with started(engine):
        submit(engine, *callers)
        for caller in callers:
            caller.wait()
    assert all(len(caller.ends) == 1 for caller in callers)
    assert [caller.ends for caller in callers if caller is not callers[1]] == [[Status.FINISHED]] * 5
    assert callers[1].ends == [Status.FAILED]
    assert "could not be evaluated: IndexError" in str(callers[1].sequence.error)
    assert engine.failure is None or "shutting down" in str(engine.failure)
    assert EOT not in callers[1].sequence.state.sampled
