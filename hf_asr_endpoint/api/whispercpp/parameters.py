"""Fields to options. Checks every field's type and range, and combinations of fields, and ignores none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hf_asr_endpoint.api.plain_fields import check_only, collect_texts, language_code, validate
from hf_asr_endpoint.api.whispercpp.schema import ALIASES, FIELDS, ONLY, Parameters, ResponseFormat
from hf_asr_endpoint.decoding_options import DecodingOptions, fallback_temperatures
from hf_asr_endpoint.errors import InvalidParameter, UnsupportedValue
from hf_asr_endpoint.subtitles.files import CUE_FORMATS, SUBTITLE_FORMATS
from hf_asr_endpoint.subtitles.limits import SubtitleShape
from hf_asr_endpoint.types import TranscriptionOptions, VoiceActivityOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedParameters:
    """The options, and what the response shows."""

    options: TranscriptionOptions
    response_format: ResponseFormat
    shape: SubtitleShape
    shows_times: bool
    shows_word_times: bool
    shows_probabilities: bool
    """Of languages."""


def parse_parameters(texts: Iterable[tuple[str, str]]) -> ParsedParameters:
    """Parse the names and texts of all fields but `file`. Raises InvalidParameter and its kinds."""
    renamed = ((ALIASES.get(name, name), text) for name, text in texts)
    values = collect_texts(renamed, allowed=FIELDS)
    check_only(values, ONLY)
    parameters = validate(Parameters, values)
    _check_combinations(parameters)
    response_format = parameters.response_format
    shows_times = not parameters.no_timestamps
    return ParsedParameters(
        options=_options(parameters),
        response_format=response_format,
        shape=parameters.shape(response_format, name="response_format"),
        shows_times=shows_times,
        shows_word_times=shows_times if parameters.token_timestamps is None else parameters.token_timestamps,
        shows_probabilities=not parameters.no_language_probabilities,
    )


def _options(parameters: Parameters) -> TranscriptionOptions:
    silence_ms, pad_ms = parameters.vad_min_silence_duration_ms, parameters.vad_speech_pad_ms
    voice_activity = VoiceActivityOptions(
        threshold=parameters.vad_threshold,
        silence_duration_s=None if silence_ms is None else silence_ms / 1000,
        **({} if pad_ms is None else {"speech_pad_s": pad_ms / 1000}),
    )
    return TranscriptionOptions(
        task="translate" if parameters.translate else "transcribe",
        language=None if parameters.detect_language else language_code(parameters.language),
        detects_language_only=parameters.detect_language,
        prompt=parameters.prompt,
        word_timestamps=bool(parameters.token_timestamps) and parameters.response_format == "verbose_json",
        prefers_words=parameters.response_format in ("verbose_json", *CUE_FORMATS),
        voice_activity=voice_activity,
        decoding=DecodingOptions.from_flat(
            temperatures=fallback_temperatures(parameters.temperature, parameters.temperature_inc),
            best_of=parameters.best_of or 1,
            suppress_tokens=() if parameters.suppress_nst is False else None,
            num_beams=max(parameters.beam_size, 1),
            logprob_threshold=parameters.logprob_thold,
            no_speech_threshold=parameters.no_speech_thold,
        ),
    )


def _check_combinations(parameters: Parameters) -> None:
    if parameters.no_timestamps and parameters.response_format in SUBTITLE_FORMATS:
        raise UnsupportedValue(
            f"response_format is {parameters.response_format}, which consists of times; "
            "allowed with no_timestamps: json, text, verbose_json",
            parameter="response_format",
        )
    if parameters.no_timestamps and parameters.token_timestamps:
        raise InvalidParameter(
            "token_timestamps and no_timestamps are true; allowed: only one", parameter="token_timestamps"
        )
    if parameters.beam_size > 1 and parameters.temperature > 0:
        raise InvalidParameter(
            f"beam_size is {parameters.beam_size} and temperature is {parameters.temperature:g}, but beam search "
            "needs temperature 0; allowed: beam_size with a temperature of 0",
            parameter="beam_size",
        )
