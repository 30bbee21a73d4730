"""What comes after the last attempt of a sequence whose text is to be aligned."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Attempt, Request, Sequence, Status
from hf_asr_endpoint.errors import EngineError
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState
from tests.fake_model import FakeSpeechModel

N_SLOTS = 4

Next = Attempt | AlignmentInput | None


def attempt(window: tuple[int, ...] | None) -> Attempt:
    return Attempt(window=window, prompt=DecoderPrompt(tokens=(1,)), rules=AttemptRules(max_new_tokens=99))


def text(state: DecodingState) -> AlignmentInput:
    return AlignmentInput(prompt=(1,), tokens=tuple(state.sampled), n_positions=10)


class Caller:
    """Submits a sequence and records the calls of its callbacks, in order."""

    def __init__(
        self,
        *tokens: int,
        request: Request | None = None,
        decide: Callable[[DecodingState], Next] = text,
    ) -> None:
        self.events: list[object] = []
        self.decide = decide
        self.sequence = Sequence(
            request=request or Request(),
            attempt=attempt(tokens),
            on_attempt=self._take,
            on_alignment=self.events.append,
            on_end=lambda sequence: self.events.append(sequence.status),
        )

    def _take(self, state: DecodingState) -> Next:
        self.events.append(tuple(state.sampled))
        return self.decide(state)


@pytest.fixture
def model() -> FakeSpeechModel:
    return FakeSpeechModel(n_slots=N_SLOTS)


@pytest.fixture
def engine(model: FakeSpeechModel) -> Engine:
    """Not started: tests take the steps."""
    return Engine(model, slots=N_SLOTS)


def run(engine: Engine, *callers: Caller) -> None:
    """Submit and take steps until all have ended."""
    for caller in callers:
        engine.submit(caller.sequence)
    for _ in range(100):
        if all(caller.events and isinstance(caller.events[-1], Status) for caller in callers):
            return
        engine.step()
    raise AssertionError("not all have ended")


def test_a_text_is_aligned_before_the_slot_is_free(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(7, 8)
    run(engine, caller)
    aligned = AlignmentInput(prompt=(1,), tokens=(7, 8), n_positions=10)
    assert caller.events == [(7, 8), ((7, 8), aligned), Status.FINISHED]
    assert [name for name, _ in model.calls][-2:] == ["align", "free"]
    assert model.slots == set()


def test_an_earlier_attempts_text_is_aligned_with_the_last_window(engine: Engine, model: FakeSpeechModel) -> None:
    """The first attempt turned out to be the better one, when a second one has encoded another window."""
    states: list[DecodingState] = []

    def decide(state: DecodingState) -> Next:
        states.append(state)
        return attempt((5, 6, 7)) if len(states) == 1 else text(states[0])

    caller = Caller(1, 2, decide=decide)
    run(engine, caller)
    aligned = AlignmentInput(prompt=(1,), tokens=(1, 2), n_positions=10)
    assert caller.events == [(1, 2), (5, 6, 7), ((5, 6, 7), aligned), Status.FINISHED]
    assert model.calls.count(("align", (0,))) == 1


def test_a_sequence_without_alignment_ends_after_its_attempt(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(7, decide=lambda state: None)
    run(engine, caller)
    assert caller.events == [(7,), Status.FINISHED]
    assert "align" not in [name for name, _ in model.calls]


@pytest.mark.parametrize(
    ("windows_per_step", "expected"), [(1, [(0,), (1,), (2,)]), (2, [(0, 1), (2,)]), (4, [(0, 1, 2)])]
)
def test_windows_per_step_limits_alignments(
    model: FakeSpeechModel, windows_per_step: int, expected: list[tuple[int, ...]]
) -> None:
    engine = Engine(model, slots=N_SLOTS, windows_per_step=windows_per_step)
    # They begin one step or more after one another, end at the same time, and one goes on beside them.
    lengths = {1: (9, 8, 7, 30), 2: (9, 9, 8, 30), 4: (9, 9, 9, 30)}[windows_per_step]
    callers = [Caller(*range(n)) for n in lengths]
    run(engine, *callers)
    aligned = [slots for name, slots in model.calls if name == "align"]
    assert aligned == [*expected, (3,)]
    names = [name for name, _ in model.calls if name != "free"]
    assert ("align", "align") not in itertools.pairwise(names), "the one beside them had to wait"


def test_cancelling_before_the_alignment_frees_the_slot(engine: Engine, model: FakeSpeechModel) -> None:
    request = Request()
    callers = [Caller(*range(n), request=request) for n in (4, 4, 4)]
    for caller in callers:
        engine.submit(caller.sequence)
    while Status.FINISHED not in callers[0].events:
        engine.step()
    request.token.cancel()
    engine.step()
    assert [caller.events[-1] for caller in callers] == [Status.FINISHED, Status.CANCELLED, Status.CANCELLED]
    assert [len(caller.events) for caller in callers] == [3, 2, 2], "decoded, and waiting for alignment"
    assert model.slots == set()


def test_an_error_fails_only_those_that_were_being_aligned(
    engine: Engine, model: FakeSpeechModel, caplog: pytest.LogCaptureFixture
) -> None:
    model.fail("align", MemoryError("no room"))
    failing, later = Caller(1), Caller(*range(9))
    run(engine, failing, later)
    assert failing.events == [(1,), Status.FAILED]
    assert isinstance(failing.sequence.error, EngineError)
    assert str(failing.sequence.error) == "the model failed: MemoryError: no room"
    assert later.events[-1] is Status.FINISHED
    assert len(later.events) == 3
    assert "the model failed" in caplog.text
    assert (model.slots, engine.failure) == (set(), None)
