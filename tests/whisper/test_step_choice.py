"""The tokens that a step's program chooses are those of the logit filters and `choose_tokens`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.decoding_options import BeamOptions, DecodingOptions
from hf_asr_endpoint.whisper.checkpoint.loader import load_checkpoint
from hf_asr_endpoint.whisper.decoding.beam_search import BeamSearch
from hf_asr_endpoint.whisper.decoding.logit_filters import TokenRules
from hf_asr_endpoint.whisper.decoding.sampling import choose_tokens
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState
from hf_asr_endpoint.whisper.kernels.layout import FORBIDDEN, PART_TOKENS
from hf_asr_endpoint.whisper.kernels.processor import Level
from hf_asr_endpoint.whisper.step_program import NO_SECTIONS
from tests.whisper.levels import every_level, kernels_of

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPT = DecoderPrompt(tokens=(50_258, 50_259, 50_359))
RULES = AttemptRules(max_new_tokens=100)
BEGIN, EOT, N_VOCAB = 50_364, 50_257, 51_865
HISTORIES = [
    [BEGIN, 1_000],
    [BEGIN],
    [BEGIN + 7, 400, 500, BEGIN + 90],
    [BEGIN, 400, BEGIN + 90, BEGIN + 90],
    [BEGIN, 400, BEGIN + 1_500],
    [400],
]
"""Tokens so far: in text, behind a timestamp that begins or ends a segment, at the window's end, without any."""


@pytest.fixture(scope="module")
def rules(base_directory: Path) -> TokenRules:
    return TokenRules(load_checkpoint(base_directory, device="cpu", dtype="float32"))


def state_of(sampled: Sequence[int], attempt: AttemptRules = RULES) -> DecodingState:
    state = DecodingState(prompt=PROMPT, rules=attempt)
    for token in sampled:
        state.append(token, -0.5, eot=EOT)
    return state


def choose(level: Level, logits: Tensor, rules: TokenRules, states: Sequence[DecodingState]) -> Tensor:
    """Return what the kernels choose: tokens and log-probabilities, shape = (n_rows, 2)."""
    kernels, n_rows = kernels_of(level), len(states)
    added = torch.zeros(N_VOCAB)
    added[rules.usually_suppressed] = FORBIDDEN
    sections = torch.tensor([rules.sections(state) or NO_SECTIONS for state in states])
    n_parts = -(-N_VOCAB // PART_TOKENS)
    scores, chosen = torch.full((n_rows, n_parts, 2, 3), torch.nan), torch.full((n_rows, 2), torch.nan)
    addresses = [tensor.data_ptr() for tensor in (logits, added, sections, scores)]
    kernels.token_scores((*addresses, n_rows, N_VOCAB))
    kernels.choose_likeliest((scores.data_ptr(), chosen.data_ptr(), n_rows, n_parts))
    return chosen


@every_level
@pytest.mark.parametrize("timestamps_are", [0.0, 3.0, 9.0, -30.0])
def test_the_likeliest_allowed_token_is_chosen(level: Level, rules: TokenRules, timestamps_are: float) -> None:
    """timestamps_are: how much likelier than text."""
    torch.manual_seed(4)
    states = [state_of(history) for history in HISTORIES]
    logits = 3 * torch.randn(len(states), N_VOCAB)
    logits[:, BEGIN:] += timestamps_are
    logits[:, rules.usually_suppressed] += 40
    logits[0, [70, N_VOCAB - 1, EOT]] += 20
    logits = logits.to(kernels_of(level).layout.activations)
    chosen = choose(level, logits, rules, states)
    filtered = logits.float()
    rules.filter(filtered, states)
    expected = choose_tokens(filtered, states)
    assert chosen[:, 0].tolist() == [token for token, _ in expected]
    np.testing.assert_allclose(chosen[:, 1], [logprob for _, logprob in expected], atol=2e-4)


@every_level
def test_of_equals_the_first_is_chosen(level: Level, rules: TokenRules) -> None:
    states = [state_of([BEGIN, 1_000])] * 3
    logits = torch.zeros((3, N_VOCAB), dtype=kernels_of(level).layout.activations)
    logits[0, [777, 3_000, 49_000]] = 30
    logits[1, [PART_TOKENS, PART_TOKENS + 1]] = 30
    logits[:, BEGIN:] = -30
    chosen = choose(level, logits, rules, states)
    assert chosen[:2, 0].tolist() == [777, PART_TOKENS]
    assert chosen[0, 1] == pytest.approx(-math.log(3), abs=1e-4)
    assert chosen[2, 0] == 0


@pytest.mark.parametrize(
    "attempt",
    [
        replace(RULES, temperature=0.4),
        replace(RULES, min_new_tokens=9),
        replace(RULES, options=DecodingOptions(repetition_penalty=1.3)),
        replace(RULES, options=DecodingOptions(suppress_tokens=(5,))),
        replace(RULES, options=DecodingOptions(beams=BeamOptions(num_beams=2))),
    ],
    ids=["sampling", "minimum", "penalty", "list", "beams"],
)
def test_rows_with_options_of_their_own_are_left_to_the_filters(rules: TokenRules, attempt: AttemptRules) -> None:
    plain = state_of([BEGIN, 1_000])
    other = state_of([BEGIN, 1_000], attempt) if attempt.beams is None else beam_state(attempt)
    assert rules.sections(plain) == ((0, BEGIN), (BEGIN + 1, N_VOCAB))
    assert rules.sections(other) is None


def beam_state(attempt: AttemptRules) -> DecodingState:
    assert attempt.beams is not None
    search = BeamSearch(attempt.beams, max_new_tokens=100)
    return DecodingState(prompt=PROMPT, rules=attempt, search=search)


def test_a_first_token_is_left_to_the_filters(rules: TokenRules) -> None:
    assert rules.sections(state_of([])) is None
