"""The filters forbid the same tokens as transformers' logits processors, after any tokens."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.generation.logits_process import (
    MinNewTokensLengthLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)

from hf_asr_endpoint.decoding_options import MODELS_OWN_TOKENS, DecodingOptions
from hf_asr_endpoint.whisper.decoding.logit_filters import (
    LogitFilter,
    MinNewTokens,
    SuppressAtBegin,
    SuppressTokens,
    TimestampRules,
)
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

# A small vocabulary in Whisper's order: text, eot, special tokens, timestamps.
EOT = 30
NO_TIMESTAMPS = 35
BEGIN = 36
N_VOCAB = 60
MAX_INITIAL = 5
PROMPT = (31, 32, 33)


def make_state(*sampled: int, min_new_tokens: int = 0, suppressed: tuple[int, ...] | None = None) -> DecodingState:
    state = DecodingState(
        prompt=DecoderPrompt(tokens=PROMPT),
        rules=AttemptRules(
            max_new_tokens=99,
            min_new_tokens=min_new_tokens,
            options=DecodingOptions(suppress_tokens=suppressed),
        ),
    )
    for token in sampled:
        state.append(token, -1.0, eot=EOT)
    return state


def apply(logit_filter: LogitFilter, logits: Tensor, *states: DecodingState) -> Tensor:
    """Return a filtered copy."""
    filtered = logits.clone()
    logit_filter.apply(filtered, states)
    return filtered


def timestamp_rules(max_initial_index: int | None = MAX_INITIAL) -> TimestampRules:
    return TimestampRules(
        timestamp_begin=BEGIN, eot=EOT, n_vocab=N_VOCAB, max_initial_index=max_initial_index, device=CPU
    )


def transformers_timestamp_rules(
    logits: Tensor, history: tuple[int, ...], max_initial_index: int | None = MAX_INITIAL
) -> Tensor:
    config = GenerationConfig(
        no_timestamps_token_id=NO_TIMESTAMPS, eos_token_id=EOT, max_initial_timestamp_index=max_initial_index
    )
    processor = WhisperTimeStampLogitsProcessor(config, begin_index=len(PROMPT))
    return processor(torch.tensor([PROMPT + history]), logits[None])[0]


def random_logits(n_rows: int, *, seed: int) -> Tensor:
    """Return logits without NO_TIMESTAMPS. In every second row timestamps are together likelier than any text."""
    logits = torch.randn(n_rows, N_VOCAB, generator=torch.Generator().manual_seed(seed)) * 2
    logits[::2, BEGIN:] += 3
    logits[:, NO_TIMESTAMPS] = -torch.inf
    return logits


def random_history(chance: random.Random) -> tuple[int, ...]:
    """Return tokens that the rules mostly allow."""
    history: list[int] = []
    time = BEGIN
    for _ in range(chance.randrange(4)):
        time = min(N_VOCAB - 1, time + chance.randrange(5))
        history += [time, *(chance.randrange(EOT) for _ in range(chance.randrange(4)))]
        if chance.random() < 0.8:
            time = min(N_VOCAB - 1, time + chance.randrange(5))
            history.append(time)
    return tuple(history)


HISTORIES = [
    pytest.param((), id="nothing"),
    pytest.param((BEGIN,), id="a segment starts at 0"),
    pytest.param((BEGIN + 3,), id="a segment starts later"),
    pytest.param((BEGIN, 5), id="some text"),
    pytest.param((BEGIN, 5, BEGIN + 7), id="a segment"),
    pytest.param((BEGIN, 5, BEGIN + 7, BEGIN + 7), id="the next segment starts"),
    pytest.param((BEGIN, 5, BEGIN + 7, BEGIN + 9, 6), id="more text"),
    pytest.param((5, 6), id="text without a timestamp"),
    pytest.param((5, BEGIN + 2), id="text, then a timestamp"),
    pytest.param((BEGIN, 5, N_VOCAB - 1), id="a segment ends at the last timestamp"),
    pytest.param((BEGIN, 5, N_VOCAB - 1, N_VOCAB - 1), id="a segment starts at the last timestamp"),
    pytest.param((BEGIN, 5, N_VOCAB - 1, N_VOCAB - 1, 7), id="text after the last timestamp"),
]


@pytest.mark.parametrize("max_initial_index", [MAX_INITIAL, 0, None])
@pytest.mark.parametrize("history", HISTORIES)
def test_timestamp_rules_equal_those_of_transformers(
    history: tuple[int, ...], max_initial_index: int | None
) -> None:
    for seed, logits in enumerate(random_logits(20, seed=len(history))):
        filtered = apply(timestamp_rules(max_initial_index), logits[None], make_state(*history))[0]
        expected = transformers_timestamp_rules(logits, history, max_initial_index)
        torch.testing.assert_close(filtered, expected, atol=0, rtol=0, msg=f"logits {seed}")


@pytest.mark.parametrize("seed", range(10))
def test_timestamp_rules_use_each_rows_own_tokens(seed: int) -> None:
    chance = random.Random(seed)
    histories = [random_history(chance) for _ in range(16)]
    logits = random_logits(16, seed=seed)
    filtered = apply(timestamp_rules(), logits, *(make_state(*history) for history in histories))
    expected = [transformers_timestamp_rules(row, history) for row, history in zip(logits, histories, strict=True)]
    torch.testing.assert_close(filtered, torch.stack(expected), atol=0, rtol=0)
    assert (filtered > -torch.inf).any(dim=1).all()


def test_timestamps_are_forced_if_their_sum_is_likelier_than_any_text() -> None:
    logits = torch.full((2, N_VOCAB), -10.0)
    logits[:, 5] = 0.0
    logits[0, BEGIN:] = -1.0  # 24 of them: e^-1 × 24 > 1
    logits[1, BEGIN:] = -3.5  # e^-3.5 × 24 < 1
    filtered = apply(timestamp_rules(), logits, make_state(BEGIN, 4), make_state(BEGIN, 4))
    assert int(filtered[0].argmax()) > BEGIN
    assert int(filtered[1].argmax()) == 5


def test_suppressed_tokens_equal_those_of_transformers() -> None:
    logits = random_logits(3, seed=0)
    filtered = apply(SuppressTokens([1, 7, 33], CPU), logits, *[make_state(2)] * 3)
    expected = SuppressTokensLogitsProcessor([1, 7, 33], device="cpu")(torch.zeros(3, 1), logits)
    torch.testing.assert_close(filtered, expected, atol=0, rtol=0)


@pytest.mark.parametrize("history", [(), (BEGIN,), (BEGIN, 5)])
def test_tokens_suppressed_at_the_beginning_equal_those_of_transformers(history: tuple[int, ...]) -> None:
    logits = random_logits(1, seed=0)
    filtered = apply(SuppressAtBegin([7, EOT], CPU), logits, make_state(*history))
    processor = SuppressTokensAtBeginLogitsProcessor([7, EOT], begin_index=len(PROMPT))
    expected = processor(torch.tensor([PROMPT + history]), logits)
    torch.testing.assert_close(filtered, expected, atol=0, rtol=0)


def test_tokens_are_suppressed_at_the_beginning_only_in_rows_without_tokens() -> None:
    filtered = apply(
        SuppressAtBegin([7], CPU), random_logits(3, seed=0), make_state(1), make_state(), make_state(1)
    )
    assert (filtered[:, 7] == -torch.inf).tolist() == [False, True, False]


def test_an_empty_list_suppresses_nothing() -> None:
    logits = random_logits(1, seed=0)
    for logit_filter in (SuppressTokens([], CPU), SuppressAtBegin([], CPU)):
        torch.testing.assert_close(apply(logit_filter, logits, make_state()), logits, atol=0, rtol=0)


@pytest.mark.parametrize("n_sampled", range(5))
def test_min_new_tokens_equals_that_of_transformers(n_sampled: int) -> None:
    history = (BEGIN, 5, 6, 7)[:n_sampled]
    logits = random_logits(2, seed=0)
    filtered = apply(
        MinNewTokens(EOT), logits, make_state(*history, min_new_tokens=3), make_state(*history, min_new_tokens=0)
    )
    processor = MinNewTokensLengthLogitsProcessor(len(PROMPT), 3, EOT, device="cpu")
    expected = processor(torch.tensor([PROMPT + history]), logits[:1])
    torch.testing.assert_close(filtered[:1], expected, atol=0, rtol=0)
    torch.testing.assert_close(filtered[1:], logits[1:], atol=0, rtol=0)


def test_a_rows_own_list_replaces_the_models_and_tokens_always_forbidden_remain() -> None:
    logits = torch.zeros(5, N_VOCAB)
    lists = (None, (), (7, 8), None, (8, MODELS_OWN_TOKENS))
    states = [make_state(suppressed=suppressed) for suppressed in lists]
    filtered = apply(SuppressTokens([3, 4], CPU, always=[NO_TIMESTAMPS]), logits, *states)
    forbidden = [row.isinf().nonzero().flatten().tolist() for row in filtered]
    assert forbidden == [
        [3, 4, NO_TIMESTAMPS],
        [NO_TIMESTAMPS],
        [7, 8, NO_TIMESTAMPS],
        [3, 4, NO_TIMESTAMPS],
        [3, 4, 8, NO_TIMESTAMPS],
    ]
