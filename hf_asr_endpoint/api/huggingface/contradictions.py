"""Which generation parameters contradict one another. Each pair is refused with both names."""

from __future__ import annotations

import json

from hf_asr_endpoint.api.huggingface.schema import GenerationParameters
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.units import MAX_PROMPT_TOKENS

SAMPLING_FILTERS = {"top_k": 0, "top_p": 1, "typical_p": 1, "epsilon_cutoff": 0, "eta_cutoff": 0}
"""With the values that switch them off."""

BEAM_PARAMETERS = {"early_stopping": False, "length_penalty": 1, "patience": 1}
"""Likewise, of what only beams have."""


def check_together(parameters: GenerationParameters, *, samples: bool) -> None:
    """Raise InvalidParameter for parameters of which one makes another impossible, or useless.

    samples: whether any window may be decoded at a temperature above 0.
    """
    _check_sampling(parameters)
    _check_contrast(parameters)
    _check_beams(parameters)
    _check_groups(parameters)
    if not samples:
        _check_no_sampling(parameters)
    _check_lengths(parameters)


def _check_sampling(parameters: GenerationParameters) -> None:
    if not parameters.do_sample:
        return
    if parameters.temperature == 0:
        raise InvalidParameter(
            "do_sample is true and temperature is 0, which never samples; allowed: one of the two"
        )
    if _n_beams(parameters) > 1:
        raise InvalidParameter(
            f"do_sample is true and num_beams is {parameters.num_beams}: "
            "sampling inside beam search is not supported; allowed: one of the two"
        )


def _check_contrast(parameters: GenerationParameters) -> None:
    """Contrastive search is a way of its own to decode, at temperature 0, among top_k candidates."""
    if not parameters.penalty_alpha:
        return
    others = {
        "do_sample": parameters.do_sample,
        "num_beams": _n_beams(parameters) > 1,
        "num_beam_groups": (parameters.num_beam_groups or 1) > 1,
        "temperature": parameters.temperature and parameters.do_sample is None,
    }
    for name, is_used in others.items():
        if is_used:
            raise InvalidParameter(
                f"penalty_alpha is {parameters.penalty_alpha}, which is contrastive search, and {name} is "
                f"{_show(parameters, name)}, which is another way to decode; allowed: one of the two"
            )
    if parameters.top_k is not None and parameters.top_k < 2:
        raise InvalidParameter(
            f"penalty_alpha is {parameters.penalty_alpha} and top_k is {parameters.top_k}, which leaves no choice"
            "; allowed: top_k of 2 or more, or one of the two"
        )


def _check_beams(parameters: GenerationParameters) -> None:
    if _n_beams(parameters) > 1:
        return
    for name, neutral in BEAM_PARAMETERS.items():
        if getattr(parameters, name) not in (None, neutral):
            raise InvalidParameter(
                f"{name} is {_show(parameters, name)} and num_beams is 1, so that there are no beams to which it "
                f"applies; allowed: {name} with num_beams of 2 or more"
            )


def _check_groups(parameters: GenerationParameters) -> None:
    n_groups, penalty = parameters.num_beam_groups or 1, parameters.diversity_penalty
    if n_groups == 1:
        if penalty:
            raise InvalidParameter(
                f"diversity_penalty is {penalty} and num_beam_groups is 1, so that no groups differ; "
                "allowed: diversity_penalty with num_beam_groups of 2 or more"
            )
        return
    if _n_beams(parameters) % n_groups:
        raise InvalidParameter(
            f"num_beam_groups is {n_groups} and num_beams is {_n_beams(parameters)}; "
            "allowed: a num_beams that is a multiple of num_beam_groups"
        )
    if penalty == 0:
        raise InvalidParameter(
            f"num_beam_groups is {n_groups} and diversity_penalty is 0, so that all groups say the same; "
            "allowed: diversity_penalty above 0"
        )


def _check_no_sampling(parameters: GenerationParameters) -> None:
    """Refuse what could only act on sampling, where nothing is sampled."""
    why = _why_nothing_is_sampled(parameters)
    candidates = ("top_k",) if parameters.penalty_alpha else ()  # There it has another meaning.
    for name, neutral in {**SAMPLING_FILTERS, "best_of": 1}.items():
        if name not in candidates and getattr(parameters, name) not in (None, neutral):
            raise InvalidParameter(
                f"{name} is {_show(parameters, name)} and {why}, so that nothing is sampled; allowed: {name} with "
                "a temperature above 0 and without num_beams, or without a temperature"
            )
    if _n_beams(parameters) == 1 and parameters.temperature not in (None, 0, 1):
        raise InvalidParameter(
            f"temperature is {parameters.temperature} and do_sample is false, so that it changes nothing; "
            "allowed: one of the two, or num_beams of 2 or more"
        )


def _why_nothing_is_sampled(parameters: GenerationParameters) -> str:
    if parameters.do_sample is False:
        return "do_sample is false"
    if parameters.temperature == 0:
        return "temperature is 0"
    return f"temperature is {parameters.temperature}, by which num_beams ({parameters.num_beams}) are ranked"


def _check_lengths(parameters: GenerationParameters) -> None:
    """Refuse a least number of tokens above the most, whichever of the two ways each is counted."""
    # The `length`s count the prompt too, which has one token at least and MAX_PROMPT_TOKENS at most.
    pairs = (
        ("min_length", "max_length", 0),
        ("min_new_tokens", "max_new_tokens", 0),
        ("min_length", "max_new_tokens", MAX_PROMPT_TOKENS),
        ("min_new_tokens", "max_length", -1),
    )
    for low_name, high_name, prompt in pairs:
        low, high = getattr(parameters, low_name), getattr(parameters, high_name)
        if low is not None and high is not None and low > high + prompt:
            allowed = f"{low_name} <= {high_name}" + (f" {prompt:+d}" if prompt else "")
            raise InvalidParameter(f"{low_name} is {low} and {high_name} is {high}; allowed: {allowed}")


def _n_beams(parameters: GenerationParameters) -> int:
    return parameters.num_beams or 1


def _show(parameters: GenerationParameters, name: str) -> str:
    return json.dumps(getattr(parameters, name))
