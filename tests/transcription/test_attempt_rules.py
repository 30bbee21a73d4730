"""What the options mean in one attempt at a window, and how many slots they need."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.decoding_options import ContrastiveOptions, DecodingOptions
from hf_asr_endpoint.transcription.attempt_rules import (
    DEFAULT_MAX_NEW_TOKENS,
    attempt_rules,
    n_candidates,
    slots_per_sequence,
)
from hf_asr_endpoint.transcription.fallback import Step
from hf_asr_endpoint.units import MAX_TARGET_POSITIONS
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt


def rules_at(temperature: float, options: DecodingOptions) -> AttemptRules:
    step = Step(temperature=temperature, is_whole=True)
    return attempt_rules(options, step, prompt=DecoderPrompt(tokens=(1,)))


def options_of(**values: object) -> DecodingOptions:
    return DecodingOptions.from_flat(**values)


def test_rules_carry_the_options_the_temperature_and_the_seed() -> None:
    options = options_of(seed=7, top_k=5)
    rules = rules_at(0.4, options)
    assert (rules.options, rules.temperature, rules.seed) == (options, 0.4, 7)


def test_beams_are_searched_at_temperature_0_only() -> None:
    options = options_of(num_beams=6, num_beam_groups=3, patience=2.0)
    assert rules_at(0.0, options).beams == options.beams
    assert rules_at(0.4, options).beams is None


def test_one_beam_is_greedy_decoding() -> None:
    assert rules_at(0.0, DecodingOptions()).beams is None


def test_contrastive_search_replaces_greedy_decoding_only() -> None:
    options = options_of(penalty_alpha=0.6, top_k=7)
    assert rules_at(0.0, options).contrast == ContrastiveOptions(top_k=7, penalty_alpha=0.6)
    assert rules_at(0.0, options).beams is None
    assert rules_at(0.4, options).contrast is None
    assert rules_at(0.4, options).options.filters.top_k == 7
    assert rules_at(0.0, options_of(penalty_alpha=0.0, top_k=7)).contrast is None


def test_contrastive_search_has_a_default_number_of_candidates() -> None:
    options = options_of(penalty_alpha=0.6)
    assert rules_at(0.0, options).contrast == ContrastiveOptions(top_k=4, penalty_alpha=0.6)
    assert options.filters.top_k is None


@pytest.mark.parametrize(("window_s", "limit"), [(0.5, 80), (1.0, 96), (5.0, 224), (30.0, 224)])
def test_short_windows_have_a_lower_default_limit(window_s: float, limit: int) -> None:
    """Loops in half a second of speech ran to 224 tokens at each of six temperatures."""
    step, prompt = Step(temperature=0.0, is_whole=True), DecoderPrompt(tokens=(1,))
    assert attempt_rules(DecodingOptions(), step, prompt=prompt, window_s=window_s).max_new_tokens == limit
    given = options_of(max_new_tokens=200)
    assert attempt_rules(given, step, prompt=prompt, window_s=window_s).max_new_tokens == 200


def test_the_best_of_samples_is_kept_above_temperature_0_only() -> None:
    options = options_of(best_of=4)
    assert [rules_at(temperature, options).best_of for temperature in (0.0, 0.2)] == [1, 4]


@pytest.mark.parametrize(
    ("options", "n_slots"),
    [
        pytest.param(options_of(), 1, id="greedy"),
        pytest.param(options_of(num_beams=3), 3, id="beams"),
        pytest.param(options_of(num_beams=3, temperatures=(0.4,)), 1, id="beams without temperature 0"),
        pytest.param(options_of(penalty_alpha=0.6, top_k=5), 5, id="candidates"),
        pytest.param(options_of(penalty_alpha=0.6), 4, id="the default candidates"),
        pytest.param(options_of(penalty_alpha=0.6, temperatures=(0.4,)), 1, id="candidates without temperature 0"),
        pytest.param(options_of(penalty_alpha=0.0, top_k=5), 1, id="a sampling filter"),
        pytest.param(options_of(best_of=4), 4, id="samples"),
        pytest.param(options_of(best_of=4, temperatures=(0.0,)), 1, id="samples at temperature 0 only"),
        pytest.param(options_of(best_of=4, num_beams=7), 7, id="the wider of two attempts"),
    ],
)
def test_a_sequence_needs_the_slots_of_its_widest_attempt(options: DecodingOptions, n_slots: int) -> None:
    assert slots_per_sequence(options) == n_slots


def test_only_contrastive_search_has_several_candidates() -> None:
    assert n_candidates(options_of(top_k=5)) == 1
    assert n_candidates(options_of(penalty_alpha=0.6, top_k=5)) == 5


@pytest.mark.parametrize(
    ("options", "n_prompt", "max_new_tokens", "min_new_tokens"),
    [
        pytest.param(DecodingOptions(), 3, DEFAULT_MAX_NEW_TOKENS, 0, id="defaults"),
        pytest.param(DecodingOptions(), 400, 48, 0, id="the prompt leaves less"),
        pytest.param(options_of(max_new_tokens=9), 3, 9, 0, id="max_new_tokens"),
        pytest.param(options_of(max_new_tokens=10_000), 3, 445, 0, id="more than the prompt leaves"),
        pytest.param(options_of(max_length=20), 3, 17, 0, id="max_length counts the prompt"),
        pytest.param(options_of(max_length=20, max_new_tokens=9), 3, 9, 0, id="max_new_tokens wins"),
        pytest.param(options_of(max_length=3), 3, 1, 0, id="at least one token"),
        pytest.param(options_of(min_new_tokens=5), 3, DEFAULT_MAX_NEW_TOKENS, 5, id="min_new_tokens"),
        pytest.param(
            options_of(min_length=8),
            3,
            DEFAULT_MAX_NEW_TOKENS,
            5,
            id="min_length counts the prompt",
        ),
        pytest.param(
            options_of(min_length=8, min_new_tokens=7),
            3,
            DEFAULT_MAX_NEW_TOKENS,
            7,
            id="the higher minimum",
        ),
        pytest.param(options_of(min_new_tokens=400), 3, 400, 400, id="a minimum above the default"),
        pytest.param(options_of(min_new_tokens=999), 3, 445, 445, id="a minimum above what the prompt leaves"),
    ],
)
def test_limits_of_new_tokens(
    options: DecodingOptions, n_prompt: int, max_new_tokens: int, min_new_tokens: int
) -> None:
    prompt = DecoderPrompt(tokens=tuple(range(n_prompt)))
    rules = attempt_rules(options, Step(temperature=0.4, is_whole=True), prompt=prompt)
    assert (rules.max_new_tokens, max(rules.min_new_tokens, 0)) == (max_new_tokens, min_new_tokens)
    assert rules.temperature == 0.4
    assert len(prompt.tokens) + rules.max_new_tokens <= MAX_TARGET_POSITIONS or max_new_tokens == 1


def test_previous_text_does_not_count_towards_a_limit() -> None:
    """It once did: a `max_length` of 40 left one token to each window after 40 tokens of previous text."""
    options = options_of(max_length=40, min_length=10)
    after_text = DecoderPrompt(tokens=tuple(range(103)), sot_index=100)
    rules = attempt_rules(options, Step(temperature=0.0, is_whole=True), prompt=after_text)
    assert (rules.max_new_tokens, rules.min_new_tokens) == (37, 7)
