"""What a session tells a final pass beside its audio: a draft of its text, and the text before it."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.transcription.live.jobs import FinalJob
from hf_asr_endpoint.transcription.live.options import LiveOptions
from tests.transcription.live.simulation import loud, script, silent, simulate

VAD, BY_HAND = LiveOptions(), LiveOptions(turn_detection=None)


def test_a_final_pass_knows_what_partial_passes_have_found() -> None:
    simulation = simulate(VAD, script(8, start=0.5))
    simulation.push(silent(0.5))
    simulation.push(loud(4.0))
    simulation.push(silent(1.0))
    [final] = simulation.jobs_of(FinalJob)
    assert isinstance(final, FinalJob)
    tokens = tuple(token for one in simulation.words for token in one.tokens)
    assert len(final.draft) >= 6
    assert final.draft == tokens[: len(final.draft)]


@pytest.mark.parametrize(("pause_s", "text"), [(1.0, "w0 w1"), (8.0, None)])
def test_a_turn_goes_on_from_the_one_before_it_if_that_is_close(pause_s: float, text: str | None) -> None:
    words = [*script(2), *script(2, start=1.0 + pause_s)]
    simulation = simulate(VAD, words)
    simulation.push(loud(1.0))
    simulation.push(silent(pause_s))
    simulation.push(loud(1.0))
    simulation.push(silent(1.0))
    first, second = simulation.jobs_of(FinalJob)
    assert isinstance(first, FinalJob)
    assert isinstance(second, FinalJob)
    assert first.before is None
    assert (second.before and second.before.text.strip()) == text


def test_a_piece_goes_on_from_the_one_before_it_in_its_turn() -> None:
    simulation = simulate(BY_HAND, script(90))
    simulation.push(loud(45.0))
    simulation.command(simulation.session.commit)
    simulation.settle()
    first, second, *_ = simulation.jobs_of(FinalJob)
    assert isinstance(second, FinalJob)
    assert second.before is not None
    assert second.before.text.endswith(f"w{round(first.end_s / 0.5) - 1}")
