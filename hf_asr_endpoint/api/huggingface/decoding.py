"""The generation parameters taken together: what they ask the decoder for, or which of them contradict.

Whisper decodes at temperature 0 and, when the result fails its thresholds, again at higher ones, where it
samples. `temperature` and `do_sample` replace that ladder; the other keys leave it as it is.
"""

from __future__ import annotations

import json

from hf_asr_endpoint.api.huggingface.schema import GenerationParameters
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import DEFAULT_NUM_BEAMS, FALLBACK_TEMPERATURES, DecodingOptions
from hf_asr_endpoint.units import MAX_PROMPT_TOKENS

DEFAULT_SAMPLING_TEMPERATURE = 1.0  # of `do_sample: true` alone, as in transformers


def decoding_options(parameters: GenerationParameters) -> DecodingOptions:
    """Return the options that valid parameters amount to. Raises InvalidParameter, naming both that clash.

    `use_cache` is in none of them: keys and values are always cached, and the result is the same either way.
    """
    temperatures = _temperatures(parameters)
    searches = 0.0 in temperatures
    num_beams = parameters.num_beams or (DEFAULT_NUM_BEAMS if searches else 1)
    _check_search(parameters, num_beams=num_beams)
    if temperatures == (0.0,):
        _check_no_sampling(parameters, num_beams=num_beams)
    _check_lengths(parameters)
    return DecodingOptions(
        temperatures=temperatures,
        num_beams=num_beams,
        beam_temperature=(parameters.temperature or 1.0) if searches else 1.0,
        early_stopping=parameters.early_stopping or False,
        top_k=parameters.top_k,
        top_p=parameters.top_p,
        typical_p=parameters.typical_p,
        epsilon_cutoff=parameters.epsilon_cutoff,
        eta_cutoff=parameters.eta_cutoff,
        max_length=parameters.max_length,
        max_new_tokens=parameters.max_new_tokens,
        min_length=parameters.min_length,
        min_new_tokens=parameters.min_new_tokens,
    )


def _temperatures(parameters: GenerationParameters) -> tuple[float, ...]:
    """Return the temperatures to sample at, (0.0,) for none, or Whisper's ladder.

    A temperature samples, as everywhere with Whisper, unless `do_sample` is false or beams are asked for:
    then it divides the logits that the beams are ranked by.
    """
    temperature, do_sample, num_beams = parameters.temperature, parameters.do_sample, parameters.num_beams or 1
    if do_sample:
        if temperature == 0:
            raise InvalidParameter(
                "do_sample is true and temperature is 0, which never samples; allowed: one of the two"
            )
        if num_beams > 1:
            raise InvalidParameter(
                f"do_sample is true and num_beams is {num_beams}: "
                "sampling inside beam search is not supported yet; allowed: one of the two"
            )
        return (temperature or DEFAULT_SAMPLING_TEMPERATURE,)
    if temperature is None:
        return FALLBACK_TEMPERATURES if do_sample is None else (0.0,)
    if do_sample is None and num_beams == 1 and temperature > 0:
        return (temperature,)
    return (0.0,)


def _check_search(parameters: GenerationParameters, *, num_beams: int) -> None:
    if num_beams == 1 and parameters.early_stopping:
        raise InvalidParameter(
            f"early_stopping is {json.dumps(parameters.early_stopping)} without beams to stop; "
            "allowed: early_stopping with num_beams of 2 or more"
        )


def _check_no_sampling(parameters: GenerationParameters, *, num_beams: int) -> None:
    """Refuse what could only act on sampling, where nothing is sampled."""
    why = "do_sample is false" if parameters.do_sample is False else f"temperature is {parameters.temperature}"
    filters = {"top_k": 0, "top_p": 1, "typical_p": 1, "epsilon_cutoff": 0, "eta_cutoff": 0}
    for name, neutral in filters.items():
        value = getattr(parameters, name)
        if value not in (None, neutral):
            raise InvalidParameter(
                f"{name} is {value} and {why}, so that nothing is sampled; allowed: {name} with a temperature "
                "above 0 and without num_beams, or without a temperature"
            )
    if num_beams == 1 and parameters.temperature not in (None, 0, 1):
        raise InvalidParameter(
            f"temperature is {parameters.temperature} and do_sample is false, so that it changes nothing; "
            "allowed: one of the two, or num_beams of 2 or more"
        )


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
