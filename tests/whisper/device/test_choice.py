"""The rules and the choice on the device are those of the host."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.whisper.checkpoint.config import GenerationConfig
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.decoding.logit_filters import TokenRules
from hf_asr_endpoint.whisper.decoding.sampling import choose_tokens
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState, begin_rows
from hf_asr_endpoint.whisper.device.choice import (
    DeviceRules,
    choose,
    chooses_on_device,
    device_rules,
    filter_logits,
)
from hf_asr_endpoint.whisper.device.row_states import RowStates, new_states, pack_rows, row_numbers

N_VOCAB, N_LOGITS, EOT, BEGIN = 60, 64, 40, 45
PROMPT = DecoderPrompt(tokens=(39, 41, 42), sot_index=1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def rules() -> tuple[TokenRules, DeviceRules]:
    """The host's and the device's; the lists have a token that the model lacks."""
    tokenizer = SimpleNamespace(
        eot=EOT, sot=41, no_timestamps=BEGIN - 1, timestamp_begin=BEGIN, language_tokens={"en": 42}
    )
    checkpoint = cast(
        WhisperCheckpoint,
        SimpleNamespace(
            tokenizer=tokenizer,
            generation_config=GenerationConfig(
                suppress_tokens=(2, 99), begin_suppress_tokens=(7, EOT, 99), max_initial_timestamp_index=5
            ),
            config=SimpleNamespace(vocab_size=N_VOCAB),
            tensors=SimpleNamespace(device=CPU),
        ),
    )
    return TokenRules(checkpoint), device_rules(checkpoint, n_rows=N_LOGITS, device=CPU)


def loaded(states: list[DecodingState], *, is_fed: bool = True) -> RowStates:
    rows = new_states(len(states), device=CPU)
    numbers = [
        row_numbers(state, slot=slot, window=slot, length=1, timestamp_begin=BEGIN, is_fed=is_fed)
        for slot, state in enumerate(states)
    ]
    rows.load_(pack_rows(numbers, {} if is_fed else dict.fromkeys(range(len(states)), PROMPT.tokens)))
    return rows


TOKENS = st.lists(st.one_of(st.integers(8, EOT - 1), st.integers(BEGIN, N_VOCAB - 1)), min_size=0, max_size=6)


@settings(deadline=None)
@given(
    histories=st.lists(TOKENS, min_size=1, max_size=4),
    min_tokens=st.integers(0, 7),
    max_tokens=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_rules_and_choice_are_the_hosts(
    rules: tuple[TokenRules, DeviceRules],
    histories: list[list[int]],
    min_tokens: int,
    max_tokens: int,
    seed: int,
) -> None:
    host, device = rules
    limits = AttemptRules(max_new_tokens=max_tokens, min_new_tokens=min_tokens)
    states = [
        DecodingState(prompt=PROMPT, rules=limits, sampled=history[: max_tokens - 1]) for history in histories
    ]
    # A row that has sampled nothing is at the end of its prompt.
    rows = loaded([_with_token(state) for state in states])
    n_sampled = torch.tensor([len(state.sampled) for state in states])
    rows.n_sampled.copy_(n_sampled)
    rows.position.copy_(len(PROMPT.tokens) + n_sampled - 1)
    logits = torch.randn((len(states), N_LOGITS), generator=torch.Generator().manual_seed(seed)) * 3
    expected = logits[:, :N_VOCAB].clone()
    host.filter(expected, states)
    torch.testing.assert_close(filter_logits(logits, device, rows)[:, :N_VOCAB], expected, atol=0, rtol=0)

    choose(logits, device, rows)
    for row, (state, (token, logprob)) in enumerate(zip(states, choose_tokens(expected, states), strict=True)):
        state.append(token, logprob, eot=EOT)
        assert rows.results[row].tolist() == pytest.approx([token, logprob, -1.0], abs=1e-5)
        assert bool(rows.is_stopped[row]) == state.is_finished
    again = loaded([_with_token(state) for state in states])
    for row, state in enumerate(states):
        if not state.is_finished:
            assert rows.numbers[:, row].tolist() == again.numbers[:, row].tolist()


def _with_token(state: DecodingState) -> DecodingState:
    """Return a state that has a last token to feed, which is not a timestamp if there was none."""
    return state if state.sampled else DecodingState(prompt=PROMPT, rules=state.rules, sampled=[9])


def test_a_prompt_is_fed_whatever_the_logits_say(rules: tuple[TokenRules, DeviceRules]) -> None:
    host, device = rules
    state = DecodingState(prompt=PROMPT, rules=AttemptRules(max_new_tokens=9))
    rows = loaded([state], is_fed=False)
    fed, results = [], []
    for seed in range(3):
        fed.append((int(rows.position), int(rows.token)))
        logits = torch.randn((1, N_LOGITS), generator=torch.Generator().manual_seed(seed))
        choose(logits, device, rows)
        results.append(rows.results[0].tolist())
        if seed == PROMPT.sot_index:
            (no_speech_prob,) = host.no_speech_probs(logits[:, :N_VOCAB])
    assert fed == list(enumerate(PROMPT.tokens))
    assert [token for token, *_ in results[:2]] == [-1, -1]
    assert results[2][0] >= BEGIN
    assert [silence for *_, silence in results] == pytest.approx([-1, no_speech_prob, -1])


def test_a_stopped_row_stays_as_it_is(rules: tuple[TokenRules, DeviceRules]) -> None:
    limits = AttemptRules(max_new_tokens=9)
    states = [DecodingState(prompt=PROMPT, rules=limits), DecodingState(prompt=PROMPT, rules=limits, sampled=[9])]
    for is_fed, state in zip((False, True), states, strict=True):
        rows = loaded([state], is_fed=is_fed)
        rows.stop_(torch.tensor([[0], [1]], dtype=torch.int32))
        before = rows.clone()
        choose(torch.randn(1, N_LOGITS), rules[1], rows)
        assert torch.equal(rows.numbers, before.numbers)
        assert rows.results.tolist() == [[-1, 0, -1]]


@pytest.mark.parametrize(
    ("options", "temperature", "expected"),
    [
        ({}, 0.0, True),
        ({}, 0.2, False),
        ({"num_beams": 2}, 0.0, False),
        ({"penalty_alpha": 0.5}, 0.0, False),
        ({"repetition_penalty": 1.1}, 0.0, False),
        ({"suppress_tokens": (1,)}, 0.0, False),
    ],
)
def test_only_what_the_device_knows_is_chosen_there(
    options: dict[str, object], temperature: float, expected: bool
) -> None:
    limits = AttemptRules(options=DecodingOptions.from_flat(**options), max_new_tokens=9, temperature=temperature)
    assert chooses_on_device(begin_rows(PROMPT, limits)[0]) is expected
