"""Every sequence ends exactly once, however its model, its request or the engine itself behaves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.scheduler import Scheduler
from hf_asr_endpoint.engine.sequence import Attempt, Request, Sequence, Status
from hf_asr_endpoint.errors import EngineError, EngineUnavailable
from hf_asr_endpoint.whisper.beam_search import BeamRules
from hf_asr_endpoint.whisper.decoding_state import DecoderPrompt, DecodingState, SamplingRules
from tests.fakes import DEADLINE_S, EOT, LANGUAGE, NO_SPEECH_PROB, FakeSpeechModel, Method

N_SLOTS = 4
METHODS: tuple[Method, ...] = ("encode", "prefill", "decode_step")


def make_attempt(*tokens: int, is_encoded: bool = False, max_new_tokens: int = 99) -> Attempt:
    return Attempt(
        window=None if is_encoded else tokens,
        prompt=DecoderPrompt(tokens=(1,)),
        rules=SamplingRules(max_new_tokens=max_new_tokens),
    )


class Caller:
    """Submits a sequence and remembers all that it is told.

    further: attempts to make after the first. attempt: the first, instead of what `tokens` and `rules` make.
    """

    def __init__(
        self,
        *tokens: int,
        request: Request | None = None,
        attempt: Attempt | None = None,
        further: tuple[Attempt, ...] = (),
        n_slots: int = 1,
        **rules: int,
    ) -> None:
        self._further = list(further)
        self.heard: list[tuple[int, ...]] = []
        self.n_prefilled = 0
        self.ends: list[Status] = []
        self.has_ended = threading.Event()
        self.sequence = Sequence(
            request=request or Request(),
            attempt=attempt or make_attempt(*tokens, **rules),
            n_slots=n_slots,
            on_attempt=self._take,
            on_prefill=self._note,
            on_end=self._end,
        )

    def _note(self, state: DecodingState) -> None:
        assert state is self.sequence.state
        assert len(self.heard) == self.n_prefilled, "told of an attempt's prompt after its end"
        assert state.no_speech_prob == NO_SPEECH_PROB
        self.n_prefilled += 1

    def _take(self, state: DecodingState) -> Attempt | None:
        assert state.is_finished
        assert len(self.heard) == self.n_prefilled - 1, "never told of the prompt"
        self.heard.append(tuple(state.sampled))
        return self._further.pop(0) if self._further else None

    def _end(self, sequence: Sequence) -> None:
        assert sequence is self.sequence
        self.ends.append(sequence.status)
        self.has_ended.set()

    def wait(self) -> None:
        assert self.has_ended.wait(DEADLINE_S)


@pytest.fixture
def model() -> FakeSpeechModel:
    return FakeSpeechModel(n_slots=N_SLOTS)


@pytest.fixture
def engine(model: FakeSpeechModel) -> Engine:
    """Not started: tests take the steps."""
    return Engine(model, n_slots=N_SLOTS)


@contextmanager
def started(engine: Engine) -> Iterator[None]:
    engine.start()
    try:
        yield
    finally:
        engine.close()


def submit(engine: Engine, *callers: Caller) -> None:
    for caller in callers:
        engine.submit(caller.sequence)


def run(engine: Engine, *callers: Caller) -> None:
    """Take steps until all have ended."""
    for _ in range(1_000):
        if all(caller.ends for caller in callers):
            return
        engine.step()
    raise AssertionError("not all have ended")


def test_tokens_come_one_a_step_and_end_once(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(7, 8, 9)
    submit(engine, caller)
    engine.step()
    assert caller.sequence.state.sampled == [7, 8], "prefill gives the first, the step another"
    run(engine, caller)
    assert caller.heard == [(7, 8, 9)]
    assert caller.ends == [Status.FINISHED]
    assert caller.sequence.state.sum_logprob == -4.0
    assert (caller.sequence.slot, caller.sequence.error) == (None, None)
    assert model.calls[:3] == [("encode", (0,)), ("prefill", (0,)), ("decode_step", (0,))]
    assert model.calls[-1] == ("free", (0,))
    assert model.slots == set()


def test_a_sequence_that_ends_with_its_prompt_needs_no_step(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller()
    submit(engine, caller)
    engine.step()
    assert (caller.heard, caller.ends) == ([()], [Status.FINISHED])
    assert model.calls == [("encode", (0,)), ("prefill", (0,)), ("free", (0,))]


def test_the_rules_limit_of_tokens_ends_a_sequence(engine: Engine) -> None:
    caller = Caller(1, 2, 3, 4, max_new_tokens=2)
    submit(engine, caller)
    run(engine, caller)
    assert caller.heard == [(1, 2)]


def test_a_step_with_nothing_to_do_does_nothing(engine: Engine, model: FakeSpeechModel) -> None:
    engine.step()
    assert model.calls == []


def test_sequences_join_and_leave_at_any_step(engine: Engine, model: FakeSpeechModel) -> None:
    first, second, third = Caller(1, 2, 3, 4, 5, 6), Caller(11), Caller(21, 22)
    submit(engine, first)
    engine.step()
    submit(engine, second)
    engine.step()
    submit(engine, third)
    run(engine, first, second, third)
    assert [caller.heard for caller in (first, second, third)] == [[(1, 2, 3, 4, 5, 6)], [(11,)], [(21, 22)]]
    assert ("decode_step", (0, 1)) in model.calls
    assert [call for call in model.calls if call[0] == "encode"] == [
        ("encode", (0,)),
        ("encode", (1,)),
        ("encode", (1,)),
    ]


@pytest.mark.parametrize("windows_per_step", [1, 2])
def test_so_many_windows_are_encoded_before_the_others_get_their_next_token(
    model: FakeSpeechModel, windows_per_step: int
) -> None:
    engine = Engine(model, n_slots=N_SLOTS, windows_per_step=windows_per_step)
    callers = [Caller(*range(10, 20)) for _ in range(4)]
    submit(engine, *callers)
    for step in range(1, 5):
        model.calls.clear()
        engine.step()
        encoded = [slots for name, slots in model.calls if name == "encode"]
        assert len(encoded) == (1 if step * windows_per_step <= 4 else 0)
        assert all(len(slots) == windows_per_step for slots in encoded)
        n_running = min(4, step * windows_per_step)
        assert model.calls[-1] == ("decode_step", tuple(range(n_running)))


def test_more_sequences_than_slots_take_turns(engine: Engine) -> None:
    callers = [Caller(*range(n)) for n in range(20)]
    submit(engine, *callers)
    run(engine, *callers)
    assert [caller.heard for caller in callers] == [[tuple(range(n))] for n in range(20)]
    assert all(caller.ends == [Status.FINISHED] for caller in callers)


def test_a_next_attempt_keeps_slot_and_window(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(5, 6, further=(make_attempt(is_encoded=True, max_new_tokens=1),))
    beside = Caller(*range(20))
    submit(engine, beside, caller)
    run(engine, caller, beside)
    assert caller.heard == [(5, 6), (5,)]
    assert caller.n_prefilled == 2
    assert caller.ends == [Status.FINISHED]
    assert [call for call in model.calls if call[0] == "encode"] == [("encode", (0,)), ("encode", (1,))]
    assert [call for call in model.calls if call == ("prefill", (1,))] == [("prefill", (1,))] * 2
    assert model.calls.count(("free", (1,))) == 1


def test_beams_of_a_sequence_have_slots_of_their_own(engine: Engine, model: FakeSpeechModel) -> None:
    """Its next attempt has no beams, and is in the first of the slots."""
    beams = Attempt(
        window=(5, 6),
        prompt=DecoderPrompt(tokens=(1,)),
        rules=SamplingRules(max_new_tokens=9, beams=BeamRules(num_beams=3)),
    )
    wide = Caller(further=(make_attempt(is_encoded=True),), attempt=beams, n_slots=3)
    beside = Caller(*range(20))
    submit(engine, beside, wide)
    run(engine, wide, beside)
    assert wide.heard == [(5, 6), (5, 6)]
    assert beside.heard == [tuple(range(20))]
    assert [slots for name, slots in model.calls if name == "encode"] == [(0,), (1, 2, 3)]
    assert [slots for name, slots in model.calls if name == "prefill"] == [(0,), (1, 2, 3), (1,)]
    assert [call for call in model.calls if call[0] == "free"][:3] == [("free", (slot,)) for slot in (1, 2, 3)]
    assert model.slots == set()


def test_rows_that_have_finished_rest_until_the_others_have(engine: Engine, model: FakeSpeechModel) -> None:
    attempt = Attempt(
        window=(5, 6, 7),
        prompt=DecoderPrompt(tokens=(1,)),
        rules=SamplingRules(max_new_tokens=9, beams=BeamRules(num_beams=2)),
    )
    caller = Caller(attempt=attempt, n_slots=2)
    submit(engine, caller)
    engine.step()
    caller.sequence.rows[0].append(EOT, -9.0, eot=EOT)
    assert caller.ends == []
    run(engine, caller)
    assert caller.heard == [(5, 6, 7)], "the likelier one"
    assert model.calls[3:5] == [("decode_step", (1,))] * 2


def test_a_sequence_for_more_slots_than_there_are_is_not_taken(engine: Engine) -> None:
    with pytest.raises(AssertionError):
        submit(engine, Caller(1, n_slots=N_SLOTS + 1))
    assert engine.n_slots == N_SLOTS


def test_a_next_attempt_may_bring_another_window(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(5, 6, further=(make_attempt(7, 8, 9), make_attempt(is_encoded=True)))
    submit(engine, caller)
    run(engine, caller)
    assert caller.heard == [(5, 6), (7, 8, 9), (7, 8, 9)]
    assert model.calls.count(("encode", (0,))) == 2
    assert model.calls.count(("free", (0,))) == 1


def test_a_new_window_for_one_that_runs_comes_before_an_admission(engine: Engine, model: FakeSpeechModel) -> None:
    running = Caller(1, further=(make_attempt(*range(9)),))
    submit(engine, running)
    while not running.heard:
        engine.step()
    submit(engine, Caller(3))
    model.calls.clear()
    engine.step()
    assert model.calls[0] == ("encode", (0,))
    engine.step()
    assert ("encode", (1,)) in model.calls


def test_the_caller_is_told_of_the_prompt_before_the_result(engine: Engine) -> None:
    order: list[str] = []
    languages: list[int | None] = []

    def prefilled(state: DecodingState) -> None:
        order.append("prompt")
        languages.append(state.language_token)

    sequence = Sequence(
        request=Request(),
        attempt=Attempt(
            window=(),
            prompt=DecoderPrompt(tokens=(1,), after_language=(2,)),
            rules=SamplingRules(max_new_tokens=9),
        ),
        on_attempt=lambda state: order.append("result"),
        on_prefill=prefilled,
        on_end=lambda sequence: order.append("end"),
    )
    engine.submit(sequence)
    engine.step()
    assert order == ["prompt", "result", "end"]
    assert languages == [LANGUAGE]


def test_cancelling_a_running_sequence_frees_its_slot_within_a_step(
    engine: Engine, model: FakeSpeechModel
) -> None:
    leaving, staying = Caller(*range(10)), Caller(*range(10))
    submit(engine, leaving, staying)
    engine.step()
    engine.step()
    leaving.sequence.request.cancel()
    model.calls.clear()
    engine.step()
    assert model.calls == [("free", (0,)), ("decode_step", (1,))]
    assert (leaving.ends, leaving.heard, leaving.sequence.slot) == ([Status.CANCELLED], [], None)
    run(engine, staying)
    assert staying.heard == [tuple(range(10))]
    assert leaving.ends == [Status.CANCELLED]


def test_cancelling_a_waiting_sequence_never_touches_the_model(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(1)
    submit(engine, caller)
    caller.sequence.request.cancel()
    engine.step()
    assert caller.ends == [Status.CANCELLED]
    assert model.calls == []


def test_a_request_is_cancelled_with_all_its_sequences(engine: Engine, model: FakeSpeechModel) -> None:
    request = Request()
    leaving = [Caller(*range(9), request=request) for _ in range(6)]
    staying = Caller(1)
    submit(engine, *leaving, staying)
    for _ in range(3):
        engine.step()
    request.cancel()
    engine.step()
    assert [caller.ends for caller in leaving] == [[Status.CANCELLED]] * 6
    run(engine, staying)
    assert staying.heard == [(1,)]
    assert model.slots == set()


@pytest.mark.parametrize("method", METHODS)
def test_cancelling_while_the_model_is_at_work_takes_effect_in_the_next_step(
    engine: Engine, model: FakeSpeechModel, method: Method
) -> None:
    """In particular between its encoding and its prompt."""
    caller = Caller(1, 2, 3)
    inner = getattr(model, method)

    def cancelling(slots: dict[int, object]) -> None:
        inner(slots)
        caller.sequence.request.cancel()

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
    while not again.heard:
        engine.step()
    submit(engine, Caller(*range(30)))
    n_before = model.calls.count(("prefill", (2,)))
    for _ in range(3):
        engine.step()
    assert model.calls.count(("prefill", (2,))) == n_before, "paused"
    file.cancel()
    engine.step()
    assert [caller.ends for caller in (*callers, again)] == [[Status.CANCELLED]] * 3
    assert again.n_prefilled == 1


@pytest.mark.parametrize(("method", "affected"), [("encode", {2}), ("prefill", {2}), ("decode_step", {0, 1, 2})])
def test_a_model_error_fails_those_it_concerns_and_the_engine_works_on(
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
    assert later.heard == [(4,)]
    assert all(len(caller.ends) == 1 for caller in callers)
    assert all(callers[n].heard == [tuple(range(9))] for n in {0, 1, 2} - affected)
    assert engine.failure is None


def test_an_error_in_a_second_attempt_fails_its_sequence(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(1, further=(make_attempt(is_encoded=True),))
    model.fail("prefill", ValueError("no"), after=1)
    submit(engine, caller)
    run(engine, caller)
    assert (caller.heard, caller.ends) == ([(1,)], [Status.FAILED])
    assert model.slots == set()


def test_the_thread_waits_for_work_and_does_it(engine: Engine) -> None:
    with started(engine):
        for tokens in [(1, 2), (), (3,)]:
            caller = Caller(*tokens)
            submit(engine, caller)
            caller.wait()
            assert caller.heard == [tokens]
    assert caller.ends == [Status.FINISHED]


def test_many_threads_may_submit_and_cancel(engine: Engine, model: FakeSpeechModel) -> None:
    callers = [Caller(*range(n % 7)) for n in range(120)]

    def use(part: list[Caller]) -> None:
        for n, caller in enumerate(part):
            engine.submit(caller.sequence)
            if n % 3 == 0:
                caller.sequence.request.cancel()

    threads = [threading.Thread(target=use, args=(callers[n::4],)) for n in range(4)]
    with started(engine):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        for caller in callers:
            caller.wait()
    for n, caller in enumerate(callers):
        finished = caller.ends == [Status.FINISHED] and caller.heard == [tuple(range(n % 7))]
        assert finished or (caller.ends == [Status.CANCELLED] and caller.sequence.request.is_cancelled)
    assert model.slots == set()


def test_closing_ends_what_runs_and_what_waits(engine: Engine, model: FakeSpeechModel) -> None:
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


def test_a_closed_engine_takes_nothing_more(engine: Engine) -> None:
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

    engine._scheduler = Broken(n_slots=N_SLOTS)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        pytest.param(break_model, "KeyboardInterrupt: stop", id="not even an Exception"),
        pytest.param(break_scheduler, "KeyError: 'lost'", id="a bug in the scheduler"),
    ],
)
def test_a_thread_that_dies_takes_every_sequence_with_it_and_says_why(
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


def test_a_bug_of_one_caller_still_ends_all_others(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """What a caller does with its result is not the model's doing, but nobody may wait for ever because of it."""
    callers = [Caller(*range(5, 25)) for _ in range(6)]
    callers[1].sequence.on_attempt = lambda state: [][0]
    with started(engine):
        submit(engine, *callers)
        for caller in callers:
            caller.wait()
    assert all(len(caller.ends) == 1 for caller in callers)
    assert [caller.ends for caller in callers if caller is not callers[1]] == [[Status.FINISHED]] * 5
    assert callers[1].ends == [Status.FAILED]
    assert "could not be judged: IndexError" in str(callers[1].sequence.error)
    assert engine.failure is None or "shutting down" in str(engine.failure)
    assert EOT not in callers[1].sequence.state.sampled
