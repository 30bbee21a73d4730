"""Beam search gives transformers' texts, alone and in a batch with others.

All variants over thirty clips of the collection next to the checkout take about half an hour and print figures:

    python -m pytest tests/parity/test_beams.py -m parity_full -s
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hf_asr_endpoint.whisper.decoding.state import DecodingState
from tests.parity.conftest import Pair
from tests.parity.decoding import decode, greedy, rows_in, rules_at_temperature_0
from tests.parity.oracle import TIE
from tests.parity.recordings import LOCAL, clips, cut_window
from tests.parity.variants import compare_beams

pytestmark = pytest.mark.parity

N_CLIPS = 30

VARIANTS: Mapping[str, dict[str, Any]] = {
    "two": {"num_beams": 2},
    "five": {"num_beams": 5},
    "five, stopping early": {"num_beams": 5, "early_stopping": True},
    "five, never stopping early": {"num_beams": 5, "early_stopping": "never"},
    "a length penalty": {"num_beams": 3, "length_penalty": -2.0},
    "min_new_tokens": {"num_beams": 2, "min_new_tokens": 40},
    "max_new_tokens": {"num_beams": 5, "max_new_tokens": 9},
    "nothing suppressed": {"num_beams": 2, "suppress_tokens": ()},
    "common words suppressed": {"num_beams": 3, "suppress_tokens": (13, 11, 262, 290, 264, 293)},
}


def free(pair: Pair, slots: Sequence[int]) -> None:
    for slot in slots:
        pair.model.free(slot)


@pytest.mark.parametrize("variant", VARIANTS)
def test_texts_of_a_few_recordings_equal_those_of_transformers(tiny_en: Pair, variant: str) -> None:
    compare_beams(tiny_en, [LOCAL[0], LOCAL[2]], VARIANTS[variant]).check()


@pytest.mark.parity_full
@pytest.mark.parametrize("variant", VARIANTS)
def test_texts_of_many_recordings_equal_those_of_transformers(pair: Pair, variant: str) -> None:
    figures = compare_beams(pair, clips(N_CLIPS), VARIANTS[variant])
    print(f"\n{figures}")
    figures.check()


def test_beams_and_greedy_sequences_in_one_batch_do_not_affect_each_other(tiny_en: Pair) -> None:
    """Even if they start at different steps and have windows of different lengths."""
    windows = [cut_window(LOCAL[n].waveform()) for n in (0, 1, 2)]
    prompt = tiny_en.prompt("en")
    rules = rules_at_temperature_0(prompt, {"num_beams": 3, "max_new_tokens": 25})

    def states_of(number: int, slots: tuple[int, ...]) -> dict[int, DecodingState]:
        tiny_en.model.encode(dict.fromkeys(slots, windows[number]))
        if len(slots) == 1:
            return {slots[0]: greedy(prompt, max_new_tokens=25)}
        return rows_in(slots, prompt, rules)

    placed = [(0, (0,)), (0, (2, 5, 6)), (1, (7,)), (2, (3, 8, 9)), (1, (1, 4, 10))]
    alone = []
    for number, slots in placed:
        states = states_of(number, slots)
        decode(tiny_en.model, states)
        alone.append(states)
        free(tiny_en, slots)
    together: list[dict[int, DecodingState]] = []
    for number, slots in placed:
        together.append(states_of(number, slots))
        tiny_en.model.prefill(together[-1])
        running = {slot: row for states in together for slot, row in states.items() if not row.is_finished}
        tiny_en.model.decode_step(running)
    while running := {slot: row for states in together for slot, row in states.items() if not row.is_finished}:
        tiny_en.model.decode_step(running)
    for (_, slots), states, expected in zip(placed, together, alone, strict=True):
        free(tiny_en, slots)
        for slot in slots:
            assert states[slot].sampled == expected[slot].sampled
            assert states[slot].sum_logprob == pytest.approx(expected[slot].sum_logprob, abs=TIE)
            assert states[slot].no_speech_prob == pytest.approx(expected[slot].no_speech_prob, abs=1e-5)
    assert len({tuple(states[slots[0]].sampled) for (_, slots), states in zip(placed, together, strict=True)}) >= 3


def test_slots_with_the_same_window_and_different_prompts_decode_their_own_prompts(base: Pair) -> None:
    """Slots with the same window were once mistaken for the beams of one search."""
    window = cut_window(LOCAL[3].waveform()[: 16_000 * 6])
    prompts = [base.prompt(language) for language in ("de", "en", "fr", "de")]
    alone = []
    for prompt in prompts:
        base.model.encode({2: window})
        alone.append(greedy(prompt, max_new_tokens=8))
        decode(base.model, {2: alone[-1]})
    free(base, [2])
    together = {slot: greedy(prompt, max_new_tokens=8) for slot, prompt in enumerate(prompts)}
    base.model.encode(dict.fromkeys(together, window))
    decode(base.model, together)
    free(base, list(together))
    assert [state.sampled for state in together.values()] == [state.sampled for state in alone]
    assert alone[0].sampled != alone[1].sampled
