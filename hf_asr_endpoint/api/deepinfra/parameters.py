"""Fields to options. Checks every field's type and range, and combinations of fields, and ignores none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hf_asr_endpoint.api.deepinfra.fields import collect_fields
from hf_asr_endpoint.api.deepinfra.schema import Parameters
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.languages import parse_language
from hf_asr_endpoint.types import TranscriptionOptions

MAX_TEMPERATURE = 1.0  # the end of the ladder
ROUNDING = 1e-6  # the maximum error of a sum of increments


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedParameters:
    """The options, what the response shows, and where it is sent.

    webhook: a URL, not yet checked; None for a response to the request itself.
    """

    options: TranscriptionOptions
    shows_words: bool
    webhook: str | None


def parse_parameters(texts: Iterable[tuple[str, str]]) -> ParsedParameters:
    """Parse the names and texts of all fields but `audio`. Raises InvalidParameter and its subclasses."""
    fields = collect_fields(texts)
    try:
        parameters = Parameters.model_validate(fields)
    except ValidationError as exc:
        raise _explain(exc, fields) from exc
    _check_combinations(parameters)
    return ParsedParameters(
        options=_options(parameters),
        shows_words=parameters.chunk_level == "word",
        webhook=parameters.webhook,
    )


def _options(parameters: Parameters) -> TranscriptionOptions:
    return TranscriptionOptions(
        task=parameters.task,
        language=parse_language(parameters.language),
        condition_on_previous_text=parameters.condition_on_previous_text,
        prompt=parameters.initial_prompt,
        word_timestamps=parameters.chunk_level == "word",
        audio_track=parameters.audio_track,
        chunk_length_s=parameters.chunk_length_s,
        decoding=DecodingOptions.from_flat(
            temperatures=_ladder(parameters.temperature, parameters.temperature_increment_on_fallback),
            num_beams=parameters.n_beams,
            patience=parameters.patience,
            suppress_tokens=parameters.suppress_tokens,
            compression_ratio_threshold=parameters.compression_ratio_threshold,
            logprob_threshold=parameters.logprob_threshold,
            no_speech_threshold=parameters.no_speech_threshold,
        ),
    )


def _ladder(temperature: float, increment: float | None) -> tuple[float, ...]:
    """Return the temperatures to try, as openai/whisper's command line does; without an increment, only one."""
    if not increment:
        return (temperature,)
    n_increments = int((MAX_TEMPERATURE - temperature + ROUNDING) / increment)
    return tuple(round(temperature + step * increment, 6) for step in range(n_increments + 1))


def _check_combinations(parameters: Parameters) -> None:
    """Refuse parameters of beam search without beams."""
    if parameters.n_beams > 1 and parameters.temperature > 0:
        name = "patience" if parameters.num_beams is None else "num_beams"
        raise InvalidParameter(
            f"{name} is {getattr(parameters, name):g} and temperature is {parameters.temperature:g}, but beam "
            f"search needs temperature 0; allowed: {name} with a temperature of 0",
            parameter=name,
        )
    if parameters.patience != 1 and parameters.num_beams == 1:
        raise InvalidParameter(
            f"patience is {parameters.patience:g} and num_beams is 1, but patience applies only to beam search; "
            "allowed: 1, or patience without num_beams (5 beams), or with num_beams of 2 or more",
            parameter="patience",
        )


def _explain(error: ValidationError, fields: Mapping[str, Any]) -> InvalidParameter:
    """Return a sentence about the first wrong field, with its description."""
    name = str(error.errors(include_url=False)[0]["loc"][0])
    return InvalidParameter(
        f"{name} is {str(fields[name])[:80]!r}; allowed: {Parameters.model_fields[name].description}",
        parameter=name,
    )
