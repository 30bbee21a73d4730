"""Generation parameters to decoding options.

Whisper decodes at temperature 0 and, if the result fails its thresholds, samples at higher temperatures.
`temperature` and `do_sample` replace this ladder; the other keys do not change it.
"""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.api.huggingface.contradictions import check_combinations
from hf_asr_endpoint.api.huggingface.schema import GenerationParameters
from hf_asr_endpoint.api.suppress_tokens import parse_suppress_tokens
from hf_asr_endpoint.decoding_options import FALLBACK_TEMPERATURES, FLAT_DECODING_OPTIONS, DecodingOptions

DEFAULT_SAMPLING_TEMPERATURE = 1.0  # for `do_sample: true` without `temperature`, as in transformers

SHARED_NAMES = sorted(FLAT_DECODING_OPTIONS & GenerationParameters.model_fields.keys() - {"suppress_tokens"})
"""Parameters with the same name, type and meaning in DecodingOptions. Its defaults replace absent ones."""


def decoding_options(parameters: GenerationParameters) -> DecodingOptions:
    """Return the options of valid parameters. Raises InvalidParameter for two that contradict each other.

    `use_cache` has no option: keys and values are always cached, which does not change the result.
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

    A temperature above 0 samples, as in openai/whisper, unless `do_sample` is false or `num_beams` is above 1.
    Then it divides the logits that beams are ranked by.
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
    """Return the tokens of text or of a list. Raises InvalidParameter."""
    if tokens is None:
        return None
    return parse_suppress_tokens(tokens if isinstance(tokens, str) else ",".join(map(str, tokens)))
