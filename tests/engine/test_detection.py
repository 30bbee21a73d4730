"""A sequence may begin with the question which languages are spoken; the answer leads to its first attempt."""

from __future__ import annotations

from collections.abc import Sequence as Many

import pytest

from hf_asr_endpoint.decoding_options import BeamOptions, DecodingOptions
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Attempt, Detection, Request, Status
from hf_asr_endpoint.errors import EngineError
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan
from tests.engine.callers import Caller, make_attempt, run, submit
from tests.fake_model import LANGUAGE, FakeSpeechModel, scores_for

SPANS = (PositionSpan(0, 10), PositionSpan(15, 30))
AT_THE_WINDOW = make_attempt(is_encoded=True)


def detecting(*tokens: int) -> Detection:
    return Detection(window=tokens, spans=SPANS)


def test_the_answer_leads_to_an_attempt_at_the_window_that_is_encoded(
    engine: Engine, model: FakeSpeechModel
) -> None:
    caller = Caller(attempt=detecting(7, 8), further=(AT_THE_WINDOW,))
    submit(engine, caller)
    run(engine, caller)
    assert caller.scores == [[scores_for(LANGUAGE)] * 2]
    assert (caller.results, caller.ends) == ([(7, 8)], [Status.FINISHED])
    assert model.asked == [SPANS]
    assert [name for name, _ in model.calls] == ["encode", "prefill", "decode_step", "decode_step", "free"]


def test_the_first_token_comes_in_the_step_that_asks(engine: Engine) -> None:
    caller = Caller(attempt=detecting(7, 8, 9), further=(AT_THE_WINDOW,))
    submit(engine, caller)
    engine.step()
    assert caller.sequence.state.sampled == [7, 8], "prefill gives the first, the step another"


def test_the_answer_may_lead_to_another_window(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(attempt=detecting(7, 8), further=(make_attempt(9), AT_THE_WINDOW))
    submit(engine, caller)
    run(engine, caller)
    assert caller.results == [(9,), (9,)]
    assert [call for call in model.calls if call[0] == "encode"] == [("encode", (0,))] * 2
    assert model.asked == [SPANS], "asked once"


def test_a_sequence_may_end_with_the_answer(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(attempt=detecting(7, 8))
    submit(engine, caller)
    run(engine, caller)
    assert (len(caller.scores), caller.results, caller.ends) == (1, [], [Status.FINISHED])
    assert model.calls == [("encode", (0,)), ("free", (0,))]
    assert caller.sequence.request.n_decoded == 0, "there is no text yet"


def test_a_failing_answer_ends_only_its_sequence(
    engine: Engine, model: FakeSpeechModel, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(scores: Many[LanguageScores]) -> Attempt:
        raise ZeroDivisionError("a bug")

    failing, beside = Caller(attempt=detecting(7)), Caller(attempt=detecting(8), further=(AT_THE_WINDOW,))
    failing.sequence.on_languages = fail
    submit(engine, failing, beside)
    run(engine, failing, beside)
    assert (failing.ends, beside.ends) == ([Status.FAILED], [Status.FINISHED])
    assert isinstance(failing.sequence.error, EngineError)
    assert "ZeroDivisionError('a bug')" in str(failing.sequence.error)
    assert beside.results == [(8,)]
    assert model.slots == set()
    assert "a result could not be evaluated" in caplog.text
    assert engine.failure is None


def test_a_model_that_fails_to_detect_ends_the_sequences_of_the_call(
    engine: Engine, model: FakeSpeechModel
) -> None:
    running, asking = Caller(*range(9)), Caller(attempt=detecting(7), further=(AT_THE_WINDOW,))
    submit(engine, running)
    engine.step()
    model.fail("encode", MemoryError("no room"))
    submit(engine, asking)
    run(engine, running, asking)
    assert (running.ends, asking.ends) == ([Status.FINISHED], [Status.FAILED])
    assert (asking.scores, model.slots) == ([], set())


def test_only_those_who_ask_are_answered(engine: Engine, model: FakeSpeechModel) -> None:
    asking = Caller(attempt=detecting(1, 2), further=(AT_THE_WINDOW,))
    knowing = Caller(3, 4, 5)
    submit(engine, asking, knowing)
    run(engine, asking, knowing)
    assert (len(asking.scores), len(knowing.scores)) == (1, 0)
    assert (asking.results, knowing.results) == ([(1, 2)], [(3, 4, 5)])
    assert model.asked == [SPANS]


def test_a_window_with_a_slot_for_each_beam_is_asked_once(engine: Engine, model: FakeSpeechModel) -> None:
    rules = AttemptRules(max_new_tokens=9, options=DecodingOptions(beams=BeamOptions(num_beams=3)))
    beams = Attempt(window=None, prompt=DecoderPrompt(tokens=(1,)), rules=rules)
    caller = Caller(attempt=detecting(5, 6), further=(beams,), n_slots=3)
    submit(engine, caller)
    run(engine, caller)
    assert (caller.results, model.asked) == ([(5, 6)], [SPANS])
    assert model.calls[:2] == [("encode", (0, 1, 2)), ("prefill", (0, 1, 2))]


def test_a_request_that_is_cancelled_by_the_answer_makes_no_attempt(
    engine: Engine, model: FakeSpeechModel
) -> None:
    """Its token is set while the answer is evaluated; the next step takes it out."""
    request = Request()
    caller = Caller(attempt=detecting(*range(30)), request=request, further=(make_attempt(*range(30)),))
    take = caller.sequence.on_languages

    def cancel(scores: Many[LanguageScores]) -> Attempt | None:
        request.token.cancel()
        return take(scores)

    caller.sequence.on_languages = cancel
    submit(engine, caller)
    run(engine, caller)
    assert (caller.results, caller.ends) == ([], [Status.CANCELLED])
    assert ("prefill", (0,)) not in model.calls
    assert model.slots == set()
