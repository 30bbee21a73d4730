"""Query strings to options. Checks every field's type and range, and ignores none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hf_asr_endpoint.api.asr_webservice.schema import DETECTION_FIELDS, FIELDS, ONLY, Output, Parameters
from hf_asr_endpoint.api.plain_fields import check_only, collect_texts, language_code, validate
from hf_asr_endpoint.subtitles.files import CUE_FORMATS
from hf_asr_endpoint.subtitles.limits import SubtitleShape
from hf_asr_endpoint.types import TranscriptionOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedParameters:
    """The options, how the audio is to be read, and what the response shows.

    has_header: whether the audio is a file; else it is samples.
    """

    options: TranscriptionOptions
    has_header: bool
    output: Output
    shape: SubtitleShape
    shows_words: bool


def parse_parameters(texts: Iterable[tuple[str, str]]) -> ParsedParameters:
    """Parse the names and texts of the query string of `/asr`. Raises InvalidParameter and its kinds."""
    values = collect_texts(texts, allowed=FIELDS)
    check_only(values, ONLY)
    parameters = validate(Parameters, values)
    output = parameters.output
    return ParsedParameters(
        options=TranscriptionOptions(
            task=parameters.task,
            language=language_code(parameters.language),
            prompt=parameters.initial_prompt,
            word_timestamps=parameters.word_timestamps,
            prefers_words=output in CUE_FORMATS,
        ),
        has_header=parameters.encode,
        output=output,
        shape=parameters.shape(output, name="output"),
        shows_words=parameters.word_timestamps,
    )


def parse_detection(texts: Iterable[tuple[str, str]]) -> ParsedParameters:
    """Parse the query string of `/detect-language`. Raises InvalidParameter and its kinds."""
    parameters = validate(Parameters, collect_texts(texts, allowed=DETECTION_FIELDS))
    return ParsedParameters(
        options=TranscriptionOptions(detects_language_only=True),
        has_header=parameters.encode,
        output="json",
        shape=SubtitleShape(),
        shows_words=False,
    )
