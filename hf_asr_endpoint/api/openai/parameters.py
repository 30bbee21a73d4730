"""Fields to options. Checks every field's type and range, and combinations of fields, and ignores none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hf_asr_endpoint.api.openai.fields import collect_fields
from hf_asr_endpoint.api.openai.fixed import fixed_parameters
from hf_asr_endpoint.api.openai.schema import (
    PARAMETERS,
    UNSUPPORTED_FORMATS,
    Parameters,
    ResponseFormat,
    ServerVad,
    read_format,
)
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.decoding_options import FALLBACK_TEMPERATURES, BeamOptions, DecodingOptions
from hf_asr_endpoint.errors import InvalidParameter, UnsupportedValue
from hf_asr_endpoint.languages import LanguageChoice, choose_languages
from hf_asr_endpoint.subtitles.files import CUE_FORMATS, SUBTITLE_FORMATS
from hf_asr_endpoint.subtitles.limits import SubtitleShape
from hf_asr_endpoint.types import Task, TranscriptionOptions, VoiceActivityOptions

TEXT_FORMATS = ("text", *SUBTITLE_FORMATS)
"""Formats that are not JSON."""


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


def parse_parameters(texts: Iterable[tuple[str, str]], *, task: Task, models: ServedModels) -> ParsedParameters:
    """Parse the names and texts of all fields of a form but `file`.

    models: that the form may name; a form that names none gets the default one.
    Raises UnknownModel, InvalidParameter.
    """
    fields = collect_fields(texts, allowed=PARAMETERS, fixed=fixed_parameters(task))
    model = models.choose(fields.pop("model", None))
    reason = UNSUPPORTED_FORMATS.get(str(read_format(fields.get("response_format"))))
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
    granularities = parameters.timestamp_granularities
    parsed = ParsedParameters(
        options=_options(parameters, task=task, model=model),
        response_format=parameters.response_format,
        shape=parameters.shape(parameters.response_format, name="response_format"),
        is_stream=parameters.stream,
        shows_segments=not granularities or "segment" in granularities,
        shows_words="word" in granularities or bool(parameters.word_timestamps),
        shows_logprobs=bool(parameters.include) or parameters.logprobs,
    )
    _check_combinations(parameters, parsed)
    return parsed


def _options(parameters: Parameters, *, task: Task, model: str | None) -> TranscriptionOptions:
    temperature = parameters.temperature
    choice = _language_choice(parameters)
    return TranscriptionOptions(
        task=task,
        model=model,
        language=choice.language,
        languages=choice.languages,
        prompt=parameters.prompt,
        hotwords=parameters.hotwords or ", ".join(parameters.keywords) or None,
        word_timestamps="word" in parameters.timestamp_granularities or bool(parameters.word_timestamps),
        prefers_words=parameters.response_format in CUE_FORMATS,
        token_logprobs=bool(parameters.include) or parameters.logprobs,
        audio_track=parameters.audio_track,
        voice_activity=_voice_activity(parameters.chunking_strategy),
        decoding=DecodingOptions(
            temperatures=(temperature,) if temperature > 0 else FALLBACK_TEMPERATURES,
            seed=parameters.seed,
            beams=BeamOptions(num_beams=parameters.num_beams),
            repetition_penalty=parameters.repetition_penalty,
        ),
    )


def _language_choice(parameters: Parameters) -> LanguageChoice:
    choice = choose_languages(parameters.language, parameters.languages)
    if parameters.detect_language and choice.language is not None:
        raise InvalidParameter(
            f"detect_language is true and language is {choice.language!r}; allowed: one of the two",
            parameter="detect_language",
        )
    return choice


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


def _check_combinations(parameters: Parameters, parsed: ParsedParameters) -> None:
    """Refuse what the response format cannot show. As in OpenAI's errors, the format is to blame."""
    response_format = parsed.response_format
    if "word" in parameters.timestamp_granularities and response_format in ("json", "text"):
        raise _cannot_contain(
            response_format,
            "timestamp_granularities of words",
            "verbose_json, srt and vtt, or word_timestamps with json",
        )
    if parameters.word_timestamps and (
        response_format == "text" or (parsed.is_stream and response_format != "verbose_json")
    ):
        allowed = "verbose_json" if parsed.is_stream else "json, verbose_json, srt and vtt"
        raise _cannot_contain(response_format, "word_timestamps", allowed)
    if parsed.shows_logprobs and response_format in TEXT_FORMATS:
        raise _cannot_contain(response_format, "logprobs", "json, verbose_json")
    if parsed.is_stream and response_format in SUBTITLE_FORMATS:
        raise UnsupportedValue(
            f"response_format is {response_format}, which cannot be streamed; "
            "allowed with stream: json, text, verbose_json",
            parameter="response_format",
        )
    if parameters.word_timestamps is False and "word" in parameters.timestamp_granularities:
        raise InvalidParameter(
            "word_timestamps is false and timestamp_granularities has word; allowed: one of the two",
            parameter="word_timestamps",
        )
    if parameters.num_beams > 1 and parameters.temperature > 0:
        raise InvalidParameter(
            f"num_beams is {parameters.num_beams} and temperature is {parameters.temperature:g}, which samples; "
            "allowed: one of the two",
            parameter="num_beams",
        )
    if parameters.hotwords and parameters.keywords:
        raise InvalidParameter("hotwords and keywords mean the same; allowed: only one", parameter="keywords")


def _cannot_contain(response_format: str, what: str, allowed: str) -> UnsupportedValue:
    return UnsupportedValue(
        f"response_format is {response_format}, which cannot contain {what}; allowed with them: {allowed}",
        parameter="response_format",
    )


def _explain(error: ValidationError, fields: Mapping[str, Any]) -> InvalidParameter:
    """Return a sentence about the first wrong parameter, with the description of its field."""
    name = str(error.errors(include_url=False)[0]["loc"][0])
    value = fields[name]
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return InvalidParameter(
        f"{name} is {shown[:80]!r}; allowed: {Parameters.model_fields[name].description}", parameter=name
    )
