"""`repetition_penalty` acts as in transformers: on logits, and in beam search on log-probabilities."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor

from hf_asr_endpoint.api.huggingface.parameters import parse_parameters
from hf_asr_endpoint.whisper.decoding.logit_filters import RepetitionPenalty
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from tests.parity.conftest import Pair
from tests.parity.decoding import decode, greedy, rules_at_temperature_0
from tests.parity.recordings import LOCAL, whole_window
from tests.parity.variants import compare_beams, compare_greedy

pytestmark = pytest.mark.parity

N_VOCAB = 60_000


def state_with(pair: Pair, penalty: float, *sampled: int) -> DecodingState:
    state = greedy(pair.prompt("en", previous=(400, 401, 402)))
    arguments: dict[str, Any] = {"repetition_penalty": penalty}
    state.rules = rules_at_temperature_0(state.prompt, arguments)
    state.sampled = list(sampled)
    return state


def test_each_row_has_its_own_penalty_over_its_prompt_and_tokens(tiny_en: Pair) -> None:
    states = [state_with(tiny_en, 1.3, 7, 8, 7), state_with(tiny_en, 1.0, 7), state_with(tiny_en, 0.5, 9)]
    logits = torch.randn(3, N_VOCAB, generator=torch.Generator().manual_seed(0))
    filtered = logits.clone()
    RepetitionPenalty().apply(filtered, states)
    for row, state in enumerate(states):
        processor = RepetitionPenaltyLogitsProcessor(state.rules.options.repetition_penalty)
        before = torch.tensor([[*state.prompt.tokens, *state.sampled]])
        assert torch.equal(filtered[row], processor(before, logits[row : row + 1].clone())[0])
    assert torch.equal(filtered[1], logits[1])


def test_the_language_is_part_of_the_prompt(base: Pair) -> None:
    filtered = torch.ones(1, N_VOCAB)
    RepetitionPenalty().apply(filtered, [state_with(base, 2.0)])
    assert filtered[0, base.tokenizer.language_tokens["en"]] == 0.5
    assert filtered[0, base.tokenizer.language_tokens["de"]] == 1


@pytest.mark.parametrize("penalty", [1.2, 2.0, 0.8])
def test_greedy_texts_equal_those_of_transformers(tiny_en: Pair, penalty: float) -> None:
    compare_greedy(tiny_en, [LOCAL[0], LOCAL[2]], {"repetition_penalty": penalty})


@pytest.mark.parametrize("penalty", [1.2, 2.0])
def test_texts_of_5_beams_equal_those_of_transformers(tiny_en: Pair, penalty: float) -> None:
    compare_beams(tiny_en, [LOCAL[0], LOCAL[2]], {"num_beams": 5, "repetition_penalty": penalty}).check()


def test_a_penalty_changes_the_text(tiny_en: Pair) -> None:
    """Otherwise the comparisons above would show nothing."""
    states = {slot: state_with(tiny_en, penalty) for slot, penalty in ((2, 1.0), (5, 2.0))}
    tiny_en.model.encode(dict.fromkeys(states, whole_window(LOCAL[0].waveform())))
    decode(tiny_en.model, states)
    for slot in states:
        tiny_en.model.free(slot)
    assert states[2].sampled != states[5].sampled


def test_the_hugging_face_dialect_sets_the_option() -> None:
    for given, penalty in (({"repetition_penalty": 1.5}, 1.5), ({"repetition_penalty": None}, 1.0), ({}, 1.0)):
        options = parse_parameters({"generation_parameters": given}).options
        assert options.decoding.repetition_penalty == penalty
