from __future__ import annotations

from typing import Any

import pytest

from hf_asr_endpoint.api.huggingface.decoding import decoding_options
from hf_asr_endpoint.api.huggingface.schema import GenerationParameters
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import DEFAULT_NUM_BEAMS, FALLBACK_TEMPERATURES, DecodingOptions


def decide(**parameters: Any) -> DecodingOptions:
    return decoding_options(GenerationParameters(**parameters))


@pytest.mark.parametrize(
    ("parameters", "temperatures", "num_beams", "beam_temperature"),
    [
        pytest.param({}, FALLBACK_TEMPERATURES, DEFAULT_NUM_BEAMS, 1.0, id="default"),
        pytest.param({"num_beams": 1}, FALLBACK_TEMPERATURES, 1, 1.0, id="greedy with fallback"),
        pytest.param({"num_beams": 3}, FALLBACK_TEMPERATURES, 3, 1.0, id="beams with fallback"),
        pytest.param({"temperature": 0.0}, (0.0,), DEFAULT_NUM_BEAMS, 1.0, id="no fallback"),
        pytest.param({"temperature": 0.4}, (0.4,), 1, 1.0, id="a temperature samples"),
        pytest.param({"temperature": 0.4, "num_beams": 1}, (0.4,), 1, 1.0, id="without beams too"),
        pytest.param({"do_sample": True}, (1.0,), 1, 1.0, id="sampling at 1"),
        pytest.param({"do_sample": True, "temperature": 0.7}, (0.7,), 1, 1.0, id="sampling at 0.7"),
        pytest.param({"do_sample": False}, (0.0,), DEFAULT_NUM_BEAMS, 1.0, id="never sample"),
        pytest.param({"num_beams": 4, "temperature": 0.2}, (0.0,), 4, 0.2, id="temperature ranks beams"),
        pytest.param({"num_beams": 4, "temperature": 0.0}, (0.0,), 4, 1.0, id="beams without fallback"),
        pytest.param({"do_sample": False, "temperature": 0.5, "num_beams": 2}, (0.0,), 2, 0.5, id="not sampled"),
        pytest.param(
            {"do_sample": False, "temperature": 1.0, "num_beams": 1, "top_k": 0, "top_p": 1.0, "typical_p": 1.0},
            (0.0,),
            1,
            1.0,
            id="neutral values",
        ),
    ],
)
def test_how_sampling_and_beams_are_decided(
    parameters: dict[str, Any], temperatures: tuple[float, ...], num_beams: int, beam_temperature: float
) -> None:
    options = decide(**parameters)
    assert options.temperatures == temperatures
    assert options.num_beams == num_beams
    assert options.beam_temperature == beam_temperature


def test_every_other_value_is_handed_on() -> None:
    given = {
        "temperature": 0.9,
        "top_k": 7,
        "top_p": 0.8,
        "typical_p": 0.7,
        "epsilon_cutoff": 0.01,
        "eta_cutoff": 0.02,
        "max_length": 40,
        "max_new_tokens": 30,
        "min_length": 6,
        "min_new_tokens": 5,
    }
    options = decide(**given)
    assert {name: getattr(options, name) for name in given if name != "temperature"} == {
        name: value for name, value in given.items() if name != "temperature"
    }


def test_a_cache_that_is_not_wanted_changes_nothing() -> None:
    """The result is the same, so there is nothing to refuse, and nothing to hand on."""
    assert decide(use_cache=False) == decide(use_cache=True) == decide()


@pytest.mark.parametrize("value", [True, "never", False])
def test_early_stopping_is_handed_on(value: object) -> None:
    assert decide(early_stopping=value, num_beams=2).early_stopping == value


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        pytest.param({"do_sample": True, "temperature": 0.0}, ("do_sample", "temperature"), id="sample at 0"),
        pytest.param({"do_sample": True, "num_beams": 2}, ("do_sample", "num_beams"), id="beam sampling"),
        pytest.param({"early_stopping": True, "num_beams": 1}, ("early_stopping", "beams"), id="nothing to stop"),
        pytest.param(
            {"early_stopping": "never", "do_sample": True}, ("early_stopping", "beams"), id="sampling stops"
        ),
        pytest.param({"top_k": 5, "temperature": 0.0}, ("top_k", "temperature"), id="top_k at 0"),
        pytest.param({"top_p": 0.5, "do_sample": False}, ("top_p", "do_sample"), id="top_p unsampled"),
        pytest.param({"typical_p": 0.5, "do_sample": False}, ("typical_p", "do_sample"), id="typical_p unsampled"),
        pytest.param({"epsilon_cutoff": 0.5, "do_sample": False}, ("epsilon_cutoff",), id="epsilon unsampled"),
        pytest.param(
            {"eta_cutoff": 0.5, "num_beams": 2, "temperature": 0.2}, ("eta_cutoff",), id="eta with beams"
        ),
        pytest.param(
            {"temperature": 0.5, "do_sample": False, "num_beams": 1}, ("temperature", "do_sample"), id="no effect"
        ),
        pytest.param({"min_length": 9, "max_length": 8}, ("min_length", "max_length"), id="lengths"),
        pytest.param({"min_length": 13, "max_new_tokens": 8}, ("min_length", "max_new_tokens"), id="mixed"),
        pytest.param({"min_new_tokens": 8, "max_length": 8}, ("min_new_tokens", "max_length"), id="mixed too"),
        pytest.param({"min_new_tokens": 9, "max_new_tokens": 8}, ("min_new_tokens", "max_new_tokens"), id="new"),
    ],
)
def test_contradictions_are_refused_naming_both(parameters: dict[str, Any], named: tuple[str, ...]) -> None:
    with pytest.raises(InvalidParameter, match="allowed") as refused:
        decide(**parameters)
    assert all(name in str(refused.value) for name in named)
