"""What the options ask of each step of the ladder."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hf_asr_endpoint.transcription.sampling_rules import DEFAULT_MAX_NEW_TOKENS, n_slots, sampling_rules

from hf_asr_endpoint.transcription.fallback import Step
from hf_asr_endpoint.types import DecodingOptions
from hf_asr_endpoint.units import MAX_TARGET_POSITIONS
from hf_asr_endpoint.whisper.decoding.beam_search import BeamOptions
from hf_asr_endpoint.whisper.decoding.contrastive_search import ContrastiveOptions
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, SamplingFilters


def rules_at(temperature: float, options: DecodingOptions) -> AttemptRules:
    step = Step(temperature=temperature, is_whole=True)
    return sampling_rules(options, step, prompt=DecoderPrompt(tokens=(1,)))


def test_beams_are_searched_with_at_temperature_0_only() -> None:
    options = DecodingOptions.from_flat(
        num_beams=6,
        num_beam_groups=3,
        diversity_penalty=0.75,
        early_stopping="never",
        length_penalty=0.5,
        patience=2.0,
        beam_temperature=1.5,
    )
    assert rules_at(0.0, options).beams == BeamOptions(
        num_beams=6,
        num_beam_groups=3,
        diversity_penalty=0.75,
        early_stopping="never",
        length_penalty=0.5,
        patience=2.0,
        temperature=1.5,
    )
    assert rules_at(0.4, options).beams is None


def test_one_beam_is_greedy_decoding() -> None:
    assert rules_at(0.0, DecodingOptions()).beams is None


def test_contrastive_search_takes_the_place_of_greedy_decoding_only() -> None:
    options = DecodingOptions.from_flat(penalty_alpha=0.6, top_k=7)
    assert rules_at(0.0, options).contrast == ContrastiveOptions(top_k=7, penalty_alpha=0.6)
    assert rules_at(0.4, options).contrast is None
    assert rules_at(0.4, options).filters == SamplingFilters(top_k=7)
    assert rules_at(0.0, replace(options, penalty_alpha=0.0)).contrast is None


def test_contrastive_search_has_candidates_without_being_told_how_many() -> None:
    options = DecodingOptions.from_flat(penalty_alpha=0.6)
    assert rules_at(0.0, options).contrast == ContrastiveOptions(top_k=4, penalty_alpha=0.6)
    assert rules_at(0.4, options).filters == SamplingFilters()


def test_candidates_need_slots_where_they_are_ever_compared() -> None:
    options = DecodingOptions.from_flat(penalty_alpha=0.6, top_k=5)
    assert n_slots(options) == 5
    assert n_slots(replace(options, top_k=None)) == 4
    assert n_slots(replace(options, temperatures=(0.4,))) == 1
    assert n_slots(replace(options, penalty_alpha=0.0)) == 1


def test_beams_need_slots_where_they_are_ever_searched_with() -> None:
    options = DecodingOptions.from_flat(num_beams=3)
    assert n_slots(options) == 3
    assert n_slots(replace(options, temperatures=(0.4,))) == 1
    assert n_slots(replace(options, num_beams=1)) == 1


def test_samples_are_chosen_from_above_temperature_0_only() -> None:
    options = DecodingOptions.from_flat(best_of=4)
    assert [rules_at(temperature, options).n_samples for temperature in (0.0, 0.2)] == [1, 4]
    assert n_slots(options) == 4
    assert n_slots(replace(options, num_beams=7)) == 7
    assert n_slots(replace(options, temperatures=(0.0,))) == 1


def test_filters_are_handed_on() -> None:
    filters = {"top_k": 5, "top_p": 0.5, "typical_p": 0.6, "epsilon_cutoff": 0.1, "eta_cutoff": 0.2}
    assert rules_at(0.2, replace(DecodingOptions(), **filters)).filters == SamplingFilters(**filters)


@pytest.mark.parametrize("tokens", [None, (), (5, 6)])
def test_suppressed_tokens_are_handed_on(tokens: tuple[int, ...] | None) -> None:
    options = DecodingOptions.from_flat(suppress_tokens=tokens)
    assert [rules_at(temperature, options).suppressed_tokens for temperature in (0.0, 0.2)] == [tokens] * 2


@pytest.mark.parametrize(
    ("options", "n_prompt", "most", "least"),
    [
        pytest.param(DecodingOptions(), 3, DEFAULT_MAX_NEW_TOKENS, 0, id="defaults"),
        pytest.param(DecodingOptions(), 400, 48, 0, id="as much as there is room for"),
        pytest.param(DecodingOptions.from_flat(max_new_tokens=9), 3, 9, 0, id="max_new_tokens"),
        pytest.param(
            DecodingOptions.from_flat(max_new_tokens=10_000), 3, 445, 0, id="more than there is room for"
        ),
        pytest.param(DecodingOptions.from_flat(max_length=20), 3, 17, 0, id="max_length counts the prompt"),
        pytest.param(
            DecodingOptions.from_flat(max_length=20, max_new_tokens=9), 3, 9, 0, id="max_new_tokens wins"
        ),
        pytest.param(DecodingOptions.from_flat(max_length=3), 3, 1, 0, id="a token at least"),
        pytest.param(
            DecodingOptions.from_flat(min_new_tokens=5), 3, DEFAULT_MAX_NEW_TOKENS, 5, id="min_new_tokens"
        ),
        pytest.param(
            DecodingOptions.from_flat(min_length=8),
            3,
            DEFAULT_MAX_NEW_TOKENS,
            5,
            id="min_length counts the prompt",
        ),
        pytest.param(
            DecodingOptions.from_flat(min_length=8, min_new_tokens=7),
            3,
            DEFAULT_MAX_NEW_TOKENS,
            7,
            id="the higher",
        ),
        pytest.param(DecodingOptions.from_flat(min_new_tokens=400), 3, 400, 400, id="more than the default"),
        pytest.param(DecodingOptions.from_flat(min_new_tokens=999), 3, 445, 445, id="least has no room"),
    ],
)
def test_numbers_of_tokens(options: DecodingOptions, n_prompt: int, most: int, least: int) -> None:
    prompt = DecoderPrompt(tokens=tuple(range(n_prompt)))
    rules = sampling_rules(options, Step(temperature=0.4, is_whole=True), prompt=prompt)
    assert (rules.max_new_tokens, max(rules.min_new_tokens, 0)) == (most, least)
    assert rules.temperature == 0.4
    assert prompt.length + rules.max_new_tokens <= MAX_TARGET_POSITIONS or most == 1


def test_the_text_so_far_takes_nothing_from_a_limit() -> None:
    """A `max_length` of 40 once left a single token to each window that followed forty tokens of text."""
    options = DecodingOptions.from_flat(max_length=40, min_length=10)
    after_text = DecoderPrompt(tokens=tuple(range(103)), sot_index=100)
    rules = sampling_rules(options, Step(temperature=0.0, is_whole=True), prompt=after_text)
    assert (rules.max_new_tokens, rules.min_new_tokens) == (37, 7)
    asking = DecoderPrompt(tokens=tuple(range(101)), sot_index=100, after_language=(5,))
    assert sampling_rules(options, Step(temperature=0.0, is_whole=True), prompt=asking) == rules
