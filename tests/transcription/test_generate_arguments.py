from __future__ import annotations

import pytest
from transformers import TemperatureLogitsWarper

from hf_asr_endpoint.transcription.generate_arguments import generate_arguments
from hf_asr_endpoint.types import DEFAULT_NUM_BEAMS, FALLBACK_TEMPERATURES, DecodingOptions


def test_defaults_are_whispers_ladder_with_its_thresholds() -> None:
    arguments = generate_arguments(DecodingOptions(), n_prompt_tokens=3)
    assert arguments == {
        "temperature": FALLBACK_TEMPERATURES,
        "compression_ratio_threshold": 1.35,
        "logprob_threshold": -1.0,
        "no_speech_threshold": 0.6,
        "num_beams": DEFAULT_NUM_BEAMS,
        "early_stopping": False,
        "top_k": 0,
        "use_cache": True,
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(DecodingOptions(max_length=20), 17, id="max_length counts the prompt"),
        pytest.param(DecodingOptions(max_new_tokens=9), 9, id="max_new_tokens does not"),
        pytest.param(DecodingOptions(max_length=20, max_new_tokens=9), 9, id="and wins"),
    ],
)
def test_lengths(options: DecodingOptions, expected: int) -> None:
    assert generate_arguments(options, n_prompt_tokens=3)["max_new_tokens"] == expected


def test_a_beam_temperature_divides_and_renormalises() -> None:
    arguments = generate_arguments(DecodingOptions(beam_temperature=0.2), n_prompt_tokens=3)
    (warper,) = arguments["logits_processor"]
    assert isinstance(warper, TemperatureLogitsWarper)
    assert arguments["renormalize_logits"] is True


def test_filters_are_handed_on() -> None:
    given = {
        "top_k": 5,
        "top_p": 0.9,
        "typical_p": 0.8,
        "epsilon_cutoff": 0.1,
        "eta_cutoff": 0.2,
        "use_cache": False,
    }
    arguments = generate_arguments(DecodingOptions(**given), n_prompt_tokens=3)
    assert {name: arguments[name] for name in given} == given


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(DecodingOptions(min_length=20), 17, id="min_length counts the prompt"),
        pytest.param(DecodingOptions(min_new_tokens=9), 9, id="min_new_tokens does not"),
        pytest.param(DecodingOptions(min_length=20, min_new_tokens=9), 17, id="the higher one holds"),
        pytest.param(DecodingOptions(min_length=7, min_new_tokens=9), 9, id="whichever it is"),
        pytest.param(DecodingOptions(min_length=2), None, id="the prompt is enough"),
    ],
)
def test_least_lengths(options: DecodingOptions, expected: int | None) -> None:
    assert generate_arguments(options, n_prompt_tokens=3).get("min_new_tokens") == expected
