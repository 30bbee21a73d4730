"""Combinations of generation parameters that are refused: one parameter makes another useless or impossible.

Each message names both parameters.
"""

from __future__ import annotations

import json

from hf_asr_endpoint.api.huggingface.schema import GenerationParameters
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.units import MAX_PROMPT_TOKENS

SAMPLING_FILTERS = {"top_k": 0, "top_p": 1, "typical_p": 1, "epsilon_cutoff": 0, "eta_cutoff": 0}
"""Filters that act on sampling only, with the values that switch them off."""

BEAM_PARAMETERS = {"early_stopping": False, "length_penalty": 1, "patience": 1}
"""Parameters that act on beam search only, with the values that switch them off."""


def check_combinations(parameters: GenerationParameters, *, may_sample: bool) -> None:
    """Raise InvalidParameter for parameters that contradict each other.

    may_sample: whether any window may be decoded at a temperature above 0.
    """
    _check_sampling(parameters)
    _check_contrastive_search(parameters)
    _check_beams(parameters)
    _check_beam_groups(parameters)
    if not may_sample:
        _check_without_sampling(parameters)
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


def _check_contrastive_search(parameters: GenerationParameters) -> None:
    """Contrastive search is a search of its own: at temperature 0, among `top_k` candidates."""
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
                f"penalty_alpha is {parameters.penalty_alpha}, which selects contrastive search, and {name} is "
                f"{_show(parameters, name)}, which selects another search; allowed: one of the two"
            )
    if parameters.top_k is not None and parameters.top_k < 2:
        raise InvalidParameter(
            f"penalty_alpha is {parameters.penalty_alpha} and top_k is {parameters.top_k}, but contrastive search "
            "needs at least two candidates; allowed: top_k of 2 or more, or one of the two"
        )


def _check_beams(parameters: GenerationParameters) -> None:
    if _n_beams(parameters) > 1:
        return
    for name, neutral in BEAM_PARAMETERS.items():
        if getattr(parameters, name) not in (None, neutral):
            raise InvalidParameter(
                f"{name} is {_show(parameters, name)}, which only affects beam search, and num_beams is 1; "
                f"allowed: {name} with num_beams of 2 or more"
            )


def _check_beam_groups(parameters: GenerationParameters) -> None:
    n_groups, penalty = parameters.num_beam_groups or 1, parameters.diversity_penalty
    if n_groups == 1:
        if penalty:
            raise InvalidParameter(
                f"diversity_penalty is {penalty}, which only affects groups of beams, and num_beam_groups is 1; "
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
            f"num_beam_groups is {n_groups} and diversity_penalty is 0, which makes all groups equal; "
            "allowed: diversity_penalty above 0"
        )


def _check_without_sampling(parameters: GenerationParameters) -> None:
    """Refuse parameters that only affect sampling."""
    why = _why_nothing_is_sampled(parameters)
    candidates = ("top_k",) if parameters.penalty_alpha else ()  # Contrastive search uses top_k, too.
    for name, neutral in {**SAMPLING_FILTERS, "best_of": 1}.items():
        if name not in candidates and getattr(parameters, name) not in (None, neutral):
            raise InvalidParameter(
                f"{name} is {_show(parameters, name)}, which only affects sampling, and {why}; allowed: {name} "
                "with a temperature above 0 and without num_beams, or without a temperature"
            )
    if _n_beams(parameters) == 1 and parameters.temperature not in (None, 0, 1):
        raise InvalidParameter(
            f"temperature is {parameters.temperature} and do_sample is false, so temperature has no effect; "
            "allowed: one of the two, or num_beams of 2 or more"
        )


def _why_nothing_is_sampled(parameters: GenerationParameters) -> str:
    if parameters.do_sample is False:
        return "do_sample is false"
    if parameters.temperature == 0:
        return "temperature is 0"
    return f"temperature is {parameters.temperature}, which ranks beams where num_beams is {parameters.num_beams}"


def _check_lengths(parameters: GenerationParameters) -> None:
    """Refuse a minimum above a maximum, in either of the two ways of counting tokens."""
    # The `length`s count the decoder prompt, too, which has at least one token and at most MAX_PROMPT_TOKENS.
    pairs = (
        ("min_length", "max_length", 0),
        ("min_new_tokens", "max_new_tokens", 0),
        ("min_length", "max_new_tokens", MAX_PROMPT_TOKENS),
        ("min_new_tokens", "max_length", -1),
    )
    for min_name, max_name, n_prompt in pairs:
        minimum, maximum = getattr(parameters, min_name), getattr(parameters, max_name)
        if minimum is not None and maximum is not None and minimum > maximum + n_prompt:
            allowed = f"{min_name} <= {max_name}" + (f" {n_prompt:+d}" if n_prompt else "")
            raise InvalidParameter(f"{min_name} is {minimum} and {max_name} is {maximum}; allowed: {allowed}")


def _n_beams(parameters: GenerationParameters) -> int:
    return parameters.num_beams or 1


def _show(parameters: GenerationParameters, name: str) -> str:
    return json.dumps(getattr(parameters, name))
