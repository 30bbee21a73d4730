from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

from hf_asr_endpoint.decoding_options import DecodingOptions, SamplingFilters
from hf_asr_endpoint.whisper.decoding.sampling import NO_FILTERS, choose_tokens, filter_scores
from hf_asr_endpoint.whisper.decoding.state import (
    AttemptRules,
    DecoderPrompt,
    DecodingState,
    begin_rows,
    best_row,
)

pytestmark = pytest.mark.usefixtures("one_thread")

EOT = 9
N_DRAWS = 4_000


def make_state(
    *,
    temperature: float = 0.0,
    seed: int = 0,
    max_new_tokens: int = 99,
    filters: SamplingFilters = NO_FILTERS,
) -> DecodingState:
    rules = AttemptRules(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        options=DecodingOptions(filters=filters),
    )
    return DecodingState(prompt=DecoderPrompt(tokens=(1, 2)), rules=rules)


def random_logits(n_rows: int, *, seed: int = 0, n_vocab: int = 40) -> Tensor:
    logits = torch.randn(n_rows, n_vocab, generator=torch.Generator().manual_seed(seed)) * 2
    logits[:, 3] = -torch.inf
    return logits


def test_temperature_0_takes_the_likeliest_token() -> None:
    logits = random_logits(5)
    chosen = choose_tokens(logits, [make_state() for _ in range(5)])
    assert [token for token, _ in chosen] == logits.argmax(dim=1).tolist()
    expected = logits.log_softmax(dim=1).max(dim=1).values.tolist()
    assert [logprob for _, logprob in chosen] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])
def test_sampled_frequencies_follow_the_distribution(temperature: float) -> None:
    logits = random_logits(1, n_vocab=12)
    state = make_state(temperature=temperature, seed=4)
    counts = Counter(choose_tokens(logits, [state])[0][0] for _ in range(N_DRAWS))
    expected = (logits[0] / temperature).softmax(dim=0).tolist()
    for token, probability in enumerate(expected):
        # Five standard deviations of a binomial frequency.
        tolerance = 5 * math.sqrt(probability * (1 - probability) / N_DRAWS) + 1e-9
        assert counts[token] / N_DRAWS == pytest.approx(probability, abs=tolerance)
    assert counts[3] == 0


def test_the_logprob_of_a_sampled_token_is_at_temperature_1() -> None:
    """As in openai/whisper, whose thresholds are meant for it."""
    logits = random_logits(1)
    expected = logits[0].log_softmax(dim=0)
    state = make_state(temperature=2.0)
    for _ in range(30):
        ((token, logprob),) = choose_tokens(logits, [state])
        assert logprob == pytest.approx(float(expected[token]), abs=1e-5)


@pytest.mark.parametrize("only", [0, 17, 39], ids=["the first", "one", "the last"])
def test_a_forbidden_token_is_never_sampled(only: int) -> None:
    logits = torch.full((1, 40), -torch.inf)
    logits[0, only] = -3.0
    state = make_state(temperature=1.0)
    assert {choose_tokens(logits, [state])[0][0] for _ in range(100)} == {only}


def sample_row(logits: Tensor, states: list[DecodingState], row: int, n: int = 20) -> list[tuple[int, float]]:
    return [choose_tokens(logits, states)[row] for _ in range(n)]


def test_a_row_samples_the_same_tokens_in_any_batch() -> None:
    logits = random_logits(4)
    alone = sample_row(logits[2:3], [make_state(temperature=1.0, seed=7)], 0)
    states = [make_state(temperature=t, seed=n) for n, t in enumerate((1.0, 0.0, 0.0, 0.6))]
    states[2] = make_state(temperature=1.0, seed=7)
    together = sample_row(logits, states, 2)
    assert [token for token, _ in together] == [token for token, _ in alone]
    assert [logprob for _, logprob in together] == pytest.approx([logprob for _, logprob in alone], abs=1e-5)
    assert len({token for token, _ in alone}) > 3


def test_equal_seeds_sample_equal_tokens() -> None:
    logits = random_logits(1)
    first, again, other = (sample_row(logits, [make_state(temperature=1.0, seed=seed)], 0) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_greedy_rows_draw_no_random_numbers() -> None:
    logits = random_logits(2)
    states = [make_state(), make_state(temperature=1.0)]
    before = states[0].random.getstate()
    choose_tokens(logits, states)
    assert states[0].random.getstate() == before


def test_sum_and_average_logprob_include_eot() -> None:
    state = make_state()
    for token, logprob in [(4, -0.5), (5, -1.5), (EOT, -4.0)]:
        assert not state.is_finished
        state.append(token, logprob, eot=EOT)
    assert state.is_finished
    assert state.sampled == [4, 5]
    assert state.sum_logprob == -6.0
    assert state.avg_logprob == -2.0


def test_max_new_tokens_ends_a_text() -> None:
    state = make_state(max_new_tokens=2)
    state.append(4, -1.0, eot=EOT)
    assert not state.is_finished
    state.append(5, -1.0, eot=EOT)
    assert state.is_finished
    assert state.sampled == [4, 5]


FILTERS: list[dict[str, Any]] = [
    {"top_k": 5},
    {"top_k": 0, "top_p": 1.0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0},
    {"top_p": 0.7},
    {"typical_p": 0.4},
    {"epsilon_cutoff": 0.03},
    {"eta_cutoff": 0.1},
    {"top_k": 9, "top_p": 0.8, "typical_p": 0.9, "epsilon_cutoff": 0.01, "eta_cutoff": 0.05},
    {"top_k": 3, "top_p": 0.95},
]


@pytest.fixture(scope="module")
def language_model() -> GPT2LMHeadModel:
    """Return a model whose only use is to build logits processors from a configuration."""
    return GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=4, n_layer=1, n_head=1))


@pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: ", ".join(filters))
@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
def test_filters_keep_the_tokens_that_transformers_keeps(
    language_model: GPT2LMHeadModel, filters: dict[str, Any], temperature: float
) -> None:
    """transformers builds the processors, in its own order."""
    config = GenerationConfig(do_sample=True, temperature=temperature, **{"top_k": 0, **filters})
    processors = language_model._get_logits_processor(config)
    sizes = set()
    for seed in range(20):
        logits = random_logits(1, seed=seed)
        expected = processors(torch.zeros((1, 1), dtype=torch.int64), logits.clone())[0].softmax(dim=0)
        scores = logits[0].log_softmax(dim=0) / temperature
        found = filter_scores(scores, SamplingFilters(**filters)).softmax(dim=0)
        torch.testing.assert_close(found, expected)
        assert torch.equal(found > 0, expected > 0)
        sizes.add(int((found > 0).sum()))
    assert sizes != {39} or not any(value not in (0, 1) for value in filters.values())


def test_each_row_is_sampled_with_its_own_filters() -> None:
    logits = random_logits(1).repeat(3, 1)
    best = logits[0].argsort(descending=True).tolist()
    states = [
        make_state(temperature=1.5, seed=seed, filters=SamplingFilters(top_k=top_k))
        for seed, top_k in enumerate((1, 3, None))
    ]
    drawn: list[set[int]] = [set(), set(), set()]
    for _ in range(200):
        for row, (token, _) in enumerate(choose_tokens(logits, states)):
            drawn[row].add(token)
    assert drawn[0] == {best[0]}
    assert drawn[1] == set(best[:3])
    assert len(drawn[2]) > 10


def test_filters_do_not_change_the_logprob_of_a_token() -> None:
    logits = random_logits(1)
    state = make_state(temperature=0.7, filters=SamplingFilters(top_k=1))
    ((token, logprob),) = choose_tokens(logits, [state])
    assert logprob == pytest.approx(float(logits[0].log_softmax(dim=0)[token]), abs=1e-5)
    assert logprob < -0.1


def test_best_of_samples_differ_and_the_first_equals_a_single_one() -> None:
    logits = random_logits(1)
    alone = sample_row(logits, [make_state(temperature=1.0, seed=5)], 0)
    rules = AttemptRules(max_new_tokens=99, temperature=1.0, seed=5, options=DecodingOptions(best_of=4))
    rows, again = (begin_rows(DecoderPrompt(tokens=(1, 2)), rules) for _ in range(2))
    texts = [sample_row(logits, [row], 0) for row in rows]
    assert texts[0] == alone
    assert len({tuple(text) for text in texts}) == 4
    assert [sample_row(logits, [row], 0) for row in again] == texts


def test_the_best_row_has_the_highest_average_logprob() -> None:
    rules = AttemptRules(max_new_tokens=9, temperature=1.0, options=DecodingOptions(best_of=3))
    rows = begin_rows(DecoderPrompt(tokens=(1,)), rules)
    for row, logprobs in zip(rows, ([-2.0, -2.0], [-1.5, -1.5, -1.5], [-3.0]), strict=True):
        for token, logprob in zip([4] * (len(logprobs) - 1) + [EOT], logprobs, strict=True):
            row.append(token, logprob, eot=EOT)
    assert best_row(rows) is rows[1]
