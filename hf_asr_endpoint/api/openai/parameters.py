"""Fields to options. Checks every field's type and range, and combinations of fields, and ignores none."""

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
from hf_asr_endpoint.api.served_model import ServedModel
from hf_asr_endpoint.api.subtitles import CUE_FORMATS, SHAPE_FIELDS, SUBTITLE_FORMATS
from hf_asr_endpoint.decoding_options import FALLBACK_TEMPERATURES, DecodingOptions
from hf_asr_endpoint.errors import InvalidParameter, UnsupportedValue
from hf_asr_endpoint.languages import parse_language
from hf_asr_endpoint.subtitles.limits import SubtitleShape
from hf_asr_endpoint.types import Task, TranscriptionOptions, VoiceActivityOptions

TRANSCRIPTION_PARAMETERS = (
    *("file", "model"),
    *(name for name in Parameters.model_fields if name not in SHAPE_FIELDS),
    *SHAPE_FIELDS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedParameters:
    """The options, and what the response shows."""

    options: TranscriptionOptions
    response_format: ResponseFormat
    shape: SubtitleShape
    """Of subtitles."""
    is_stream: bool
    shows_segments: bool
    shows_words: bool
    shows_logprobs: bool


def parse_parameters(texts: Iterable[tuple[str, str]], *, task: Task, model: ServedModel) -> ParsedParameters:
    """Parse the names and texts of all fields of a form but `file`.

    model: the only model that the form may name. Raises UnknownModel, MissingParameter, InvalidParameter.
    """
    allowed = TRANSLATION_PARAMETERS if task == "translate" else TRANSCRIPTION_PARAMETERS
    fields = collect_fields(texts, allowed=allowed)
    model.check(fields.pop("model", None))
    reason = UNSUPPORTED_FORMATS.get(fields.get("response_format", ""))
    if reason is not None:
        raise UnsupportedValue(
            f"response_format {fields['response_format']!r} is not supported here: {reason}; "
            f"allowed: {Parameters.model_fields['response_format'].description}",
            parameter="response_format",
        )
    try:
        parameters = Parameters.model_validate(fields)
    except ValidationError as exc:
        raise _explain(exc, fields) from exc
    _check_combinations(parameters)
    return ParsedParameters(
        options=_options(parameters, task=task),
        response_format=parameters.response_format,
        shape=parameters.shape(parameters.response_format, name="response_format"),
        is_stream=parameters.stream,
        shows_segments=not parameters.timestamp_granularities or "segment" in parameters.timestamp_granularities,
        shows_words="word" in parameters.timestamp_granularities,
        shows_logprobs=bool(parameters.include),
    )


def _options(parameters: Parameters, *, task: Task) -> TranscriptionOptions:
    temperature = parameters.temperature
    return TranscriptionOptions(
        task=task,
        language=None if parameters.language is None else parse_language(parameters.language),
        prompt=parameters.prompt,
        hotwords=parameters.hotwords or ", ".join(parameters.keywords) or None,
        word_timestamps="word" in parameters.timestamp_granularities or parameters.response_format in CUE_FORMATS,
        token_logprobs=bool(parameters.include),
        audio_track=parameters.audio_track,
        voice_activity=_voice_activity(parameters.chunking_strategy),
        decoding=DecodingOptions(
            temperatures=(temperature,) if temperature > 0 else FALLBACK_TEMPERATURES, seed=parameters.seed
        ),
    )


def _voice_activity(strategy: object) -> VoiceActivityOptions:
    """Return the detector's options for "auto" or a ServerVad.

    OpenAI pads speech only at its start (`prefix_padding_ms`). Here both sides get the padding, because a word
    whose end is cut off is lost as well. If `silence_duration_ms` is given, a chunk ends at every such silence.
    By default it ends only at long silences, because short chunks give the model little context.
    """
    if not isinstance(strategy, ServerVad):
        return VoiceActivityOptions()
    silence_ms = strategy.silence_duration_ms
    return VoiceActivityOptions(
        threshold=strategy.threshold,
        silence_duration_s=None if silence_ms is None else silence_ms / 1000,
        speech_pad_s=strategy.prefix_padding_ms / 1000,
    )


def _check_combinations(parameters: Parameters) -> None:
    """Refuse parameters that the response format cannot show. As in OpenAI's errors, the format is to blame."""
    response_format = parameters.response_format
    if parameters.timestamp_granularities and response_format != "verbose_json":
        raise UnsupportedValue(
            f"response_format is {response_format}, which cannot contain timestamp_granularities; "
            "allowed with timestamp_granularities: verbose_json",
            parameter="response_format",
        )
    if parameters.include and response_format != "json":
        raise UnsupportedValue(
            f"response_format is {response_format}, which cannot contain logprobs; allowed with logprobs: json",
            parameter="response_format",
        )
    if parameters.stream and response_format in SUBTITLE_FORMATS:
        raise UnsupportedValue(
            f"response_format is {response_format}, which cannot be streamed; "
            "allowed with stream: json, text, verbose_json",
            parameter="response_format",
        )
    if parameters.hotwords and parameters.keywords:
        raise InvalidParameter("hotwords and keywords mean the same; allowed: only one", parameter="keywords")


def _explain(error: ValidationError, fields: Mapping[str, Any]) -> InvalidParameter:
    """Return a sentence about the first wrong parameter, with the description of its field."""
    name = str(error.errors(include_url=False)[0]["loc"][0])
    value = fields[name]
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return InvalidParameter(
        f"{name} is {shown[:80]!r}; allowed: {Parameters.model_fields[name].description}", parameter=name
    )
