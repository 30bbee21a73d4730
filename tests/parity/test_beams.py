"""Beam search gives transformers' texts, alone and beside others.

All variants over thirty clips of the collection beside the checkout take about half an hour and print figures:

    python -m pytest tests/parity/test_beams.py -m parity_full -s
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from torch import Tensor

from hf_asr_endpoint.whisper.decoding.state import DecodingState, best_row
from tests.parity.conftest import Pair
from tests.parity.decoding import decode, greedy, rows_in, rules_at_temperature_0, with_eot
from tests.parity.oracle import TIE
from tests.parity.recordings import LOCAL, Recording, clips, cut_window, whole_window

pytestmark = pytest.mark.parity

N_CLIPS = 30
LEAST_EQUAL = 0.95  # of the texts; of the others each must be as good as transformers'
SLOTS = (1, 3, 4, 7, 9, 10)

VARIANTS: Mapping[str, dict[str, Any]] = {
    "two": {"num_beams": 2},
    "five": {"num_beams": 5},
    "five, stopping early": {"num_beams": 5, "early_stopping": True},
    "five, never stopping early": {"num_beams": 5, "early_stopping": "never"},
    "a length penalty": {"num_beams": 3, "length_penalty": -2.0},
    "the least number of tokens": {"num_beams": 2, "min_new_tokens": 40},
    "the most tokens": {"num_beams": 5, "max_new_tokens": 9},
    "nothing suppressed": {"num_beams": 2, "suppress_tokens": ()},
    "common words suppressed": {"num_beams": 3, "suppress_tokens": (13, 11, 262, 290, 264, 293)},
}


@dataclass(slots=True, kw_only=True)
class Figures:
    """What came of comparing. others: by how much transformers' score is better than ours, by text."""

    n_texts: int = 0
    others: dict[str, float] = field(default_factory=dict)

    def check(self) -> None:
        assert self.n_texts - len(self.others) >= LEAST_EQUAL * self.n_texts, self
        assert all(abs(difference) < TIE for difference in self.others.values()), self


def begin(pair: Pair, window: Tensor, arguments: Mapping[str, Any]) -> dict[int, DecodingState]:
    slots = SLOTS[: arguments["num_beams"]]
    pair.model.encode(dict.fromkeys(slots, window))
    prompt = pair.prompt("en")
    return rows_in(slots, prompt, rules_at_temperature_0(prompt, arguments))


def free(pair: Pair, slots: Sequence[int]) -> None:
    for slot in slots:
        pair.model.free(slot)


def compare(pair: Pair, recordings: Sequence[Recording], variant: str) -> Figures:
    arguments = {"max_new_tokens": 60, **VARIANTS[variant]}
    figures = Figures()
    for recording in recordings:
        window = whole_window(recording.waveform())
        features = pair.oracle.encode(window)
        expected, score = pair.oracle.search(features, language="en", arguments=arguments)
        rows = begin(pair, window, arguments)
        decode(pair.model, rows)
        free(pair, list(rows))
        state = best_row(list(rows.values()))
        assert state.search is not None
        figures.n_texts += 1
        if with_eot(state, eot=pair.tokenizer.eot) != expected:
            figures.others[recording.name] = score - state.search.best.score
    return figures


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_few_recordings(tiny_en: Pair, variant: str) -> None:
    compare(tiny_en, [LOCAL[0], LOCAL[2]], variant).check()


@pytest.mark.parity_full
@pytest.mark.parametrize("variant", VARIANTS)
def test_many_recordings(pair: Pair, variant: str) -> None:
    figures = compare(pair, clips(N_CLIPS), variant)
    print(f"\n{figures}")
    figures.check()


def test_beams_and_greedy_sequences_of_one_batch_do_not_change_one_another(tiny_en: Pair) -> None:
    """Also where they begin at different times, and are in windows of different lengths."""
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


def test_beams_detect_the_language_once_and_all_know_it(base: Pair) -> None:
    window = cut_window(LOCAL[3].waveform()[: 16_000 * 6])
    known, asking = (base.prompt(language) for language in ("de", None))
    texts = []
    for prompt in (known, asking):
        slots = SLOTS[:3]
        base.model.encode(dict.fromkeys(slots, window))
        rules = rules_at_temperature_0(prompt, {"num_beams": 3, "max_new_tokens": 12})
        rows = rows_in(slots, prompt, rules)
        decode(base.model, rows)
        free(base, slots)
        texts.append(rows[slots[0]].sampled)
        languages = {base.vocabulary.language(row.language_token) for row in rows.values()}
        assert languages == ({None} if prompt is known else {"de"})
    assert texts[0] == texts[1]


def test_another_prompt_in_a_window_that_is_shared_is_fed_too(base: Pair) -> None:
    """Slots were once taken for beams of one search wherever they were given the same window."""
    window = cut_window(LOCAL[3].waveform()[: 16_000 * 6])
    prompts = [base.prompt("de"), base.prompt("en"), base.prompt(None), base.prompt("de")]
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
