"""Sequences advance a token a step, join and leave at any step, and begin further attempts."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.decoding_options import BeamOptions, DecodingOptions
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Attempt, Request, Status
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt
from tests.engine.callers import N_SLOTS, Caller, make_attempt, run, submit
from tests.fake_model import EOT, FakeSpeechModel


def test_each_step_adds_one_token_and_the_end_is_reported_once(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(7, 8, 9)
    submit(engine, caller)
    engine.step()
    assert caller.sequence.state.sampled == [7, 8], "prefill gives the first, the step another"
    run(engine, caller)
    assert caller.results == [(7, 8, 9)]
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
    assert (caller.results, caller.ends) == ([()], [Status.FINISHED])
    assert model.calls == [("encode", (0,)), ("prefill", (0,)), ("free", (0,))]


def test_max_new_tokens_ends_a_sequence(engine: Engine) -> None:
    caller = Caller(1, 2, 3, 4, max_new_tokens=2)
    submit(engine, caller)
    run(engine, caller)
    assert caller.results == [(1, 2)]


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
    assert [caller.results for caller in (first, second, third)] == [[(1, 2, 3, 4, 5, 6)], [(11,)], [(21, 22)]]
    assert ("decode_step", (0, 1)) in model.calls
    assert [call for call in model.calls if call[0] == "encode"] == [
        ("encode", (0,)),
        ("encode", (1,)),
        ("encode", (1,)),
    ]


@pytest.mark.parametrize("windows_per_step", [1, 2])
def test_windows_per_step_limits_encoding(model: FakeSpeechModel, windows_per_step: int) -> None:
    engine = Engine(model, slots=N_SLOTS, windows_per_step=windows_per_step)
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


def test_a_request_alone_fills_its_slots_before_any_token(engine: Engine, model: FakeSpeechModel) -> None:
    request = Request()
    callers = [Caller(*range(10, 13), request=request) for _ in range(N_SLOTS)]
    submit(engine, *callers)
    run(engine, *callers)
    most = tuple(range(N_SLOTS - 1))  # One slot is kept from any single request.
    expected = [*[("encode", (slot,)) for slot in most], ("prefill", most), ("decode_step", most)]
    assert model.calls[: len(expected)] == expected


def test_another_request_does_not_wait_until_all_slots_are_full(engine: Engine, model: FakeSpeechModel) -> None:
    file = Request()
    callers = [Caller(*range(10, 30), request=file) for _ in range(N_SLOTS)]
    submit(engine, *callers)
    engine.step()
    engine.step()
    clip = Caller(1)
    submit(engine, clip)
    model.calls.clear()
    engine.step()
    assert clip.results == [(1,)]
    assert [name for name, _ in model.calls][:2] == ["encode", "prefill"]


def test_more_sequences_than_slots_take_turns(engine: Engine) -> None:
    callers = [Caller(*range(n)) for n in range(20)]
    submit(engine, *callers)
    run(engine, *callers)
    assert [caller.results for caller in callers] == [[tuple(range(n))] for n in range(20)]
    assert all(caller.ends == [Status.FINISHED] for caller in callers)


def test_a_next_attempt_keeps_slot_and_window(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(5, 6, further=(make_attempt(is_encoded=True, max_new_tokens=1),))
    beside = Caller(*range(20))
    submit(engine, beside, caller)
    run(engine, caller, beside)
    assert caller.results == [(5, 6), (5,)]
    assert caller.ends == [Status.FINISHED]
    assert [call for call in model.calls if call[0] == "encode"] == [("encode", (0,)), ("encode", (1,))]
    assert [call for call in model.calls if call == ("prefill", (1,))] == [("prefill", (1,))] * 2
    assert model.calls.count(("free", (1,))) == 1


def test_each_beam_has_its_own_slot(engine: Engine, model: FakeSpeechModel) -> None:
    """Its next attempt has no beams, and is in the first of the slots."""
    beams = Attempt(
        window=(5, 6),
        prompt=DecoderPrompt(tokens=(1,)),
        rules=AttemptRules(max_new_tokens=9, options=DecodingOptions(beams=BeamOptions(num_beams=3))),
    )
    wide = Caller(further=(make_attempt(is_encoded=True),), attempt=beams, n_slots=3)
    beside = Caller(*range(20))
    submit(engine, beside, wide)
    run(engine, wide, beside)
    assert wide.results == [(5, 6), (5, 6)]
    assert beside.results == [tuple(range(20))]
    assert [slots for name, slots in model.calls if name == "encode"] == [(0,), (1, 2, 3)]
    assert [slots for name, slots in model.calls if name == "prefill"] == [(0,), (1, 2, 3), (1,)]
    assert [call for call in model.calls if call[0] == "free"][:3] == [("free", (slot,)) for slot in (1, 2, 3)]
    assert model.slots == set()


def test_finished_rows_wait_for_the_other_rows(engine: Engine, model: FakeSpeechModel) -> None:
    attempt = Attempt(
        window=(5, 6, 7),
        prompt=DecoderPrompt(tokens=(1,)),
        rules=AttemptRules(max_new_tokens=9, options=DecodingOptions(beams=BeamOptions(num_beams=2))),
    )
    caller = Caller(attempt=attempt, n_slots=2)
    submit(engine, caller)
    engine.step()
    caller.sequence.rows[0].append(EOT, -9.0, eot=EOT)
    assert caller.ends == []
    run(engine, caller)
    assert caller.results == [(5, 6, 7)], "the likelier one"
    assert model.calls[3:5] == [("decode_step", (1,))] * 2


def test_a_sequence_for_more_slots_than_there_are_is_refused(engine: Engine) -> None:
    with pytest.raises(AssertionError):
        submit(engine, Caller(1, n_slots=N_SLOTS + 1))
    assert engine.slots == N_SLOTS


def test_a_next_attempt_may_have_another_window(engine: Engine, model: FakeSpeechModel) -> None:
    caller = Caller(5, 6, further=(make_attempt(7, 8, 9), make_attempt(is_encoded=True)))
    submit(engine, caller)
    run(engine, caller)
    assert caller.results == [(5, 6), (7, 8, 9), (7, 8, 9)]
    assert model.calls.count(("encode", (0,))) == 2
    assert model.calls.count(("free", (0,))) == 1


def test_a_running_sequence_is_encoded_before_a_new_one_is_admitted(
    engine: Engine, model: FakeSpeechModel
) -> None:
    running = Caller(1, further=(make_attempt(*range(9)),))
    submit(engine, running)
    while not running.results:
        engine.step()
    submit(engine, Caller(3))
    model.calls.clear()
    engine.step()
    assert model.calls[0] == ("encode", (0,))
    engine.step()
    assert ("encode", (1,)) in model.calls
