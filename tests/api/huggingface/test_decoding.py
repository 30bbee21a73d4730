from __future__ import annotations

import itertools
import re
from dataclasses import fields
from typing import Any

import annotated_types
import pytest

from hf_asr_endpoint.api.huggingface.decoding import decoding_options
from hf_asr_endpoint.api.huggingface.schema import GenerationParameters
from hf_asr_endpoint.decoding_options import (
    DEFAULT_CONTRASTIVE_TOP_K,
    DEFAULT_DIVERSITY_PENALTY,
    DEFAULT_NUM_BEAMS,
    FALLBACK_TEMPERATURES,
    ContrastiveOptions,
    DecodingOptions,
)
from hf_asr_endpoint.errors import InvalidParameter


def parse(**parameters: Any) -> DecodingOptions:
    return decoding_options(GenerationParameters(**parameters))


def flat(options: DecodingOptions) -> dict[str, Any]:
    """Return all options by name. `top_k` is the sampling filter."""
    groups = (options.contrast, options.beams, options.lengths, options.thresholds, options.filters, options)
    return {field.name: getattr(group, field.name) for group in groups for field in fields(group)}


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
def test_temperature_do_sample_and_num_beams_select_the_temperatures_and_beams(
    parameters: dict[str, Any], temperatures: tuple[float, ...], num_beams: int, beam_temperature: float
) -> None:
    options = parse(**parameters)
    assert options.temperatures == temperatures
    assert options.beams.num_beams == num_beams
    assert options.beams.beam_temperature == beam_temperature


def test_other_parameters_set_the_option_of_the_same_name() -> None:
    given = {
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
    assert flat(parse(temperature=0.9, **given)).items() >= given.items()


def test_use_cache_changes_no_option() -> None:
    assert parse(use_cache=False) == parse(use_cache=True) == parse()


@pytest.mark.parametrize("value", [True, "never", False])
def test_early_stopping_sets_its_option(value: object) -> None:
    assert parse(early_stopping=value, num_beams=2).beams.early_stopping == value


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        pytest.param({"do_sample": True, "temperature": 0.0}, ("do_sample", "temperature"), id="sample at 0"),
        pytest.param({"do_sample": True, "num_beams": 2}, ("do_sample", "num_beams"), id="beam sampling"),
        pytest.param(
            {"early_stopping": True, "num_beams": 1},
            ("early_stopping", "beams"),
            id="early stopping without beams",
        ),
        pytest.param(
            {"early_stopping": "never", "do_sample": True},
            ("early_stopping", "beams"),
            id="early stopping with sampling",
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
        pytest.param({"num_beam_groups": 2}, ("num_beam_groups", "num_beams"), id="groups without beams"),
        pytest.param(
            {"num_beam_groups": 2, "num_beams": 5}, ("num_beam_groups", "num_beams"), id="groups of unequal size"
        ),
        pytest.param(
            {"num_beam_groups": 8, "num_beams": 4}, ("num_beam_groups", "num_beams"), id="more groups than beams"
        ),
        pytest.param(
            {"num_beam_groups": 2, "num_beams": 4, "diversity_penalty": 0.0},
            ("num_beam_groups", "diversity_penalty"),
            id="groups without a penalty",
        ),
        pytest.param(
            {"num_beams": 4, "diversity_penalty": 0.5}, ("num_beam_groups", "diversity_penalty"), id="no groups"
        ),
        pytest.param({"length_penalty": 0.5}, ("length_penalty", "num_beams"), id="length penalty without beams"),
        pytest.param({"patience": 2.0, "num_beams": 1}, ("patience", "num_beams"), id="patience without beams"),
        pytest.param({"penalty_alpha": 0.6, "top_k": 1}, ("penalty_alpha", "top_k"), id="one candidate"),
        pytest.param({"penalty_alpha": 0.6, "top_k": 0}, ("penalty_alpha", "top_k"), id="no candidate"),
        pytest.param(
            {"penalty_alpha": 0.6, "do_sample": False, "top_p": 0.5},
            ("top_p", "do_sample"),
            id="contrast unsampled",
        ),
        pytest.param(
            {"penalty_alpha": 0.6, "do_sample": False, "temperature": 0.5},
            ("temperature", "do_sample"),
            id="a temperature without effect on contrastive search",
        ),
        pytest.param({"num_beams": 2, "temperature": 0.5, "best_of": 2}, ("best_of", "num_beams"), id="best of"),
        pytest.param({"min_length": 9, "max_length": 8}, ("min_length", "max_length"), id="lengths"),
        pytest.param({"min_length": 13, "max_new_tokens": 8}, ("min_length", "max_new_tokens"), id="mixed"),
        pytest.param({"min_new_tokens": 8, "max_length": 8}, ("min_new_tokens", "max_length"), id="mixed too"),
        pytest.param({"min_new_tokens": 9, "max_new_tokens": 8}, ("min_new_tokens", "max_new_tokens"), id="new"),
    ],
)
def test_a_contradiction_is_refused_with_both_names(parameters: dict[str, Any], named: tuple[str, ...]) -> None:
    with pytest.raises(InvalidParameter, match="allowed") as refused:
        parse(**parameters)
    assert all(name in str(refused.value) for name in named)


BEAMS = {"num_beams": 4}
REQUESTED: dict[str, dict[str, Any]] = {
    "sampling": {"do_sample": True},
    "no sampling": {"do_sample": False},
    "temperature 0": {"temperature": 0.0},
    "temperature": {"temperature": 0.5},
    "beams": BEAMS,
    "groups": {**BEAMS, "num_beam_groups": 2},
    "diversity": {**BEAMS, "num_beam_groups": 2, "diversity_penalty": 1.0},
    "early stopping": {**BEAMS, "early_stopping": "never"},
    "length penalty": {**BEAMS, "length_penalty": 0.5},
    "patience": {**BEAMS, "patience": 2.0},
    "contrast": {"penalty_alpha": 0.6},
    "top_k": {"top_k": 5},
    "top_p": {"top_p": 0.5},
    "typical_p": {"typical_p": 0.5},
    "epsilon_cutoff": {"epsilon_cutoff": 0.1},
    "eta_cutoff": {"eta_cutoff": 0.1},
    "best_of": {"best_of": 3},
    "minimum lengths": {"min_length": 9, "min_new_tokens": 5},
    "maximum lengths": {"max_length": 90, "max_new_tokens": 60},
    "cache": {"use_cache": False},
    "seed": {"seed": 3},
    "suppressed tokens": {"suppress_tokens": [5]},
    "thresholds": {"compression_ratio_threshold": 2.0, "logprob_threshold": -2.0, "no_speech_threshold": 0.5},
    "previous text": {"prompt": "Ithaca", "condition_on_prev_tokens": True},
}
"""Each kind of decoding, with the parameters that it needs."""

TRANSLATED = {
    *("do_sample", "temperature", "use_cache", "suppress_tokens"),
    *("prompt", "condition_on_prev_tokens", "language", "task", "return_timestamps"),
}
"""Parameters that are not decoding options by the same name."""

CHOOSE_NO_TOKENS = {"language", "task", "return_timestamps"}


def a_number_for(name: str) -> int | float:
    """Return an allowed number: the upper bound, in the parameter's type."""
    field = GenerationParameters.model_fields[name]
    (bound,) = (bound.le for bound in field.metadata if isinstance(bound, annotated_types.Le))
    return int(bound) if field.annotation == int | None else float(bound)


for _name in GenerationParameters.model_fields:
    if _name not in CHOOSE_NO_TOKENS and not any(_name in requested for requested in REQUESTED.values()):
        REQUESTED[_name] = {_name: a_number_for(_name)}  # A parameter without contradictions needs no row above.

OF_BEAMS = {name for name, parameters in REQUESTED.items() if "num_beams" in parameters}
OF_SAMPLING = {"top_k", "top_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "best_of"}
CONTRADICT = {
    "sampling": {"no sampling", "temperature 0", "contrast"} | OF_BEAMS,
    "no sampling": {"sampling", "temperature"} | OF_SAMPLING,
    "temperature 0": {"sampling", "temperature"} | OF_SAMPLING,
    "temperature": {"no sampling", "temperature 0", "contrast"},
    "contrast": {"sampling", "temperature"} | OF_BEAMS,
}


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(REQUESTED, 2)))
def test_each_pair_is_accepted_or_refused_with_both_names(one: str, other: str) -> None:
    if REQUESTED[one].keys() == REQUESTED[other].keys():
        return  # One key has only one value.
    parameters = {**REQUESTED[one], **REQUESTED[other]}
    if other in CONTRADICT.get(one, ()) or one in CONTRADICT.get(other, ()):
        with pytest.raises(InvalidParameter, match="allowed") as refused:
            parse(**parameters)
        named = {name for name in parameters if re.search(rf"\b{name}\b", str(refused.value))}
        assert named & REQUESTED[one].keys()
        assert named & REQUESTED[other].keys()
        assert len(named) >= 2
    else:
        options = flat(parse(**parameters))
        for name in parameters.keys() - TRANSLATED:
            assert options[name] == parameters[name]


@pytest.mark.parametrize(
    "others", [{}, {"temperature": 0.0}, {"do_sample": False}, {"do_sample": False, "temperature": 1.0}]
)
def test_top_k_is_the_number_of_contrastive_candidates(others: dict[str, Any]) -> None:
    options = parse(penalty_alpha=0.6, top_k=7, **others)
    assert options.temperatures == ((0.0,) if others else FALLBACK_TEMPERATURES)
    assert options.contrast == ContrastiveOptions(penalty_alpha=0.6, top_k=7)


def test_contrastive_search_has_a_default_number_of_candidates() -> None:
    assert parse(penalty_alpha=0.6).contrast.top_k == DEFAULT_CONTRASTIVE_TOP_K


def test_beam_groups_have_a_default_diversity_penalty() -> None:
    options = parse(num_beams=4, num_beam_groups=2).beams
    assert (options.num_beam_groups, options.diversity_penalty) == (2, DEFAULT_DIVERSITY_PENALTY)
