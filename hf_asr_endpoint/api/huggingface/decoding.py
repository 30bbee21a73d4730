"""The generation parameters taken together: what they ask the decoder for.

Whisper decodes at temperature 0 and, when the result fails its thresholds, again at higher ones, where it
samples. `temperature` and `do_sample` replace that ladder; the other keys leave it as it is.
"""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.api.huggingface.contradictions import check_combinations
from hf_asr_endpoint.api.huggingface.schema import GenerationParameters
from hf_asr_endpoint.api.suppress_tokens import parse_suppress_tokens
from hf_asr_endpoint.types import FALLBACK_TEMPERATURES, FLAT_DECODING_OPTIONS, DecodingOptions

DEFAULT_SAMPLING_TEMPERATURE = 1.0  # of `do_sample: true` alone, as in transformers

SHARED_NAMES = sorted(FLAT_DECODING_OPTIONS & GenerationParameters.model_fields.keys() - {"suppress_tokens"})
"""Parameters with the same name, type and meaning in DecodingOptions, whose defaults apply when one is absent."""


def decoding_options(parameters: GenerationParameters) -> DecodingOptions:
    """Return the options that valid parameters amount to. Raises InvalidParameter, naming both that clash.

    `use_cache` is in none of them: keys and values are always cached, and the result is the same either way.
    """
    temperatures = _temperatures(parameters)
    check_combinations(parameters, may_sample=any(temperature > 0 for temperature in temperatures))
    given: dict[str, Any] = {name: getattr(parameters, name) for name in SHARED_NAMES}
    return DecodingOptions.from_flat(
        temperatures=temperatures,
        beam_temperature=(parameters.temperature or 1.0) if 0.0 in temperatures else 1.0,
        suppress_tokens=_suppressed(parameters.suppress_tokens),
        **{name: value for name, value in given.items() if value is not None},
    )


def _temperatures(parameters: GenerationParameters) -> tuple[float, ...]:
    """Return the temperatures to sample at, (0.0,) for none, or Whisper's ladder.

    A temperature samples, as everywhere with Whisper, unless `do_sample` is false or beams are asked for:
    then it divides the logits that the beams are ranked by.
    """
    temperature, do_sample = parameters.temperature, parameters.do_sample
    if do_sample:
        return (temperature or DEFAULT_SAMPLING_TEMPERATURE,)
    if temperature is None:
        return FALLBACK_TEMPERATURES if do_sample is None else (0.0,)
    if do_sample is None and (parameters.num_beams or 1) == 1 and temperature > 0:
        return (temperature,)
    return (0.0,)


def _suppressed(tokens: str | list[int] | None) -> tuple[int, ...] | None:
    """Return the tokens, from either form. Raises InvalidParameter."""
    if tokens is None:
        return None
    return parse_suppress_tokens(tokens if isinstance(tokens, str) else ",".join(map(str, tokens)))
