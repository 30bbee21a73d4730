"""Fields to options: every one is checked for type, range and company, and none is ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hf_asr_endpoint.api.openai.fields import collect_fields
from hf_asr_endpoint.api.openai.schema import (
    TRANSLATION_PARAMETERS,
    UNSUPPORTED_FORMATS,
    Parameters,
    ResponseFormat,
    ServerVad,
)
from hf_asr_endpoint.errors import InvalidParameter, MissingParameter, UnknownModel, UnsupportedValue
from hf_asr_endpoint.languages import parse_language
from hf_asr_endpoint.types import (
    FALLBACK_TEMPERATURES,
    DecodingOptions,
    Task,
    TranscriptionOptions,
    VoiceActivityOptions,
)

MODEL_ALIAS = "whisper-1"
"""What OpenAI calls Whisper, and what many clients have fixed in them."""

SUBTITLE_FORMATS = ("srt", "vtt")
"""They are cut at the words' times."""

TRANSCRIPTION_PARAMETERS = ("file", "model", *Parameters.model_fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedParameters:
    """What the caller wants, and what of it the answer shows."""

    options: TranscriptionOptions
    response_format: ResponseFormat
    is_stream: bool
    shows_segments: bool
    shows_words: bool
    shows_logprobs: bool


def accepted_names(model_names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names under which the model can be asked for."""
    return tuple(dict.fromkeys((*model_names, MODEL_ALIAS)))


def parse_parameters(
    texts: Iterable[tuple[str, str]], *, task: Task, model_names: tuple[str, ...]
) -> ParsedParameters:
    """Parse all fields of a form but `file`, as names and texts.

    model_names: those of the model that is served. Raises UnknownModel, MissingParameter, InvalidParameter.
    """
    allowed = TRANSLATION_PARAMETERS if task == "translate" else TRANSCRIPTION_PARAMETERS
    fields = collect_fields(texts, allowed=allowed)
    check_model(fields.pop("model", None), model_names=model_names)
    why = UNSUPPORTED_FORMATS.get(fields.get("response_format", ""))
    if why is not None:
        raise UnsupportedValue(
            f"response_format {fields['response_format']!r} is not supported here: {why}; "
            f"allowed: {Parameters.model_fields['response_format'].description}",
            parameter="response_format",
        )
    try:
        parameters = Parameters.model_validate(fields)
    except ValidationError as exc:
        raise _explain(exc, fields) from exc
    _check_company(parameters)
    return ParsedParameters(
        options=_options(parameters, task=task),
        response_format=parameters.response_format,
        is_stream=parameters.stream,
        shows_segments=not parameters.timestamp_granularities or "segment" in parameters.timestamp_granularities,
        shows_words="word" in parameters.timestamp_granularities,
        shows_logprobs=bool(parameters.include),
    )


def check_model(name: str | None, *, model_names: tuple[str, ...]) -> None:
    """Raise MissingParameter for no name, UnknownModel for one that the served model does not have."""
    names = accepted_names(model_names)
    if name is None:
        raise MissingParameter(f"model is missing; allowed: {', '.join(names)}", parameter="model")
    if name not in names:
        raise UnknownModel(f"the model {name[:100]!r} does not exist here; allowed: {', '.join(names)}")


def _options(parameters: Parameters, *, task: Task) -> TranscriptionOptions:
    temperature = parameters.temperature
    return TranscriptionOptions(
        task=task,
        language=None if parameters.language is None else parse_language(parameters.language),
        prompt=parameters.prompt,
        hotwords=parameters.hotwords or ", ".join(parameters.keywords) or None,
        word_timestamps="word" in parameters.timestamp_granularities
        or parameters.response_format in SUBTITLE_FORMATS,
        token_logprobs=bool(parameters.include),
        voice_activity=_voice_activity(parameters.chunking_strategy),
        decoding=DecodingOptions(
            temperatures=(temperature,) if temperature > 0 else FALLBACK_TEMPERATURES, seed=parameters.seed
        ),
    )


def _voice_activity(strategy: object) -> VoiceActivityOptions:
    """Return what "auto" or a ServerVad means for the detector.

    OpenAI pads before speech only (`prefix_padding_ms`). Here the same padding is kept on both sides, for
    what is cut off too early behind a word costs it as much as what is cut off before one.
    """
    if not isinstance(strategy, ServerVad):
        return VoiceActivityOptions()
    return VoiceActivityOptions(
        threshold=strategy.threshold,
        silence_duration_s=None if strategy.silence_duration_ms is None else strategy.silence_duration_ms / 1000,
        speech_pad_s=strategy.prefix_padding_ms / 1000,
    )


def _check_company(parameters: Parameters) -> None:
    """Refuse what the response format has no place for. OpenAI blames the format."""
    response_format = parameters.response_format
    if parameters.timestamp_granularities and response_format != "verbose_json":
        raise UnsupportedValue(
            f"response_format is {response_format}, which has no place for timestamp_granularities; "
            "allowed with them: verbose_json",
            parameter="response_format",
        )
    if parameters.include and response_format != "json":
        raise UnsupportedValue(
            f"response_format is {response_format}, which has no place for logprobs; allowed with them: json",
            parameter="response_format",
        )
    if parameters.stream and response_format in SUBTITLE_FORMATS:
        raise UnsupportedValue(
            f"response_format is {response_format}, which is never streamed; "
            "allowed with stream: json, text, verbose_json",
            parameter="response_format",
        )
    if parameters.hotwords and parameters.keywords:
        raise InvalidParameter("hotwords and keywords mean the same; allowed: one of them", parameter="keywords")


def _explain(error: ValidationError, fields: Mapping[str, Any]) -> InvalidParameter:
    """Return one sentence about the first parameter that is wrong, from what its field says is allowed."""
    name = str(error.errors(include_url=False)[0]["loc"][0])
    value = fields[name]
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return InvalidParameter(
        f"{name} is {shown[:80]!r}; allowed: {Parameters.model_fields[name].description}", parameter=name
    )
