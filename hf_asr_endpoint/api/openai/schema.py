"""The form's fields with their types and ranges. Each field's description says what is allowed.

Source: `CreateTranscriptionRequest` and `CreateTranslationRequest` of openai/openai-openapi. Extensions: `seed`,
`repetition_penalty`, `num_beams`, `hotwords`, `audio_track`, `word_timestamps` (faster-whisper's), `logprobs`
(of OpenAI's other APIs), `detect_language` (whisper.cpp's), the formats ass, lrc and tsv, the fields that shape
subtitles, and for translations all that OpenAI has for transcriptions only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from hf_asr_endpoint.api.subtitles import SHAPE_FIELDS, ShapeFields, SubtitleFormat
from hf_asr_endpoint.api.texts import (
    AUDIO_TRACK_ALLOWED,
    KEYWORDS_ALLOWED,
    MAX_AUDIO_TRACK,
    PROMPT_ALLOWED,
    Keywords,
    PlainNumber,
    Prompt,
)
from hf_asr_endpoint.decoding_options import (
    DEFAULT_NUM_BEAMS,
    MAX_PENALTY,
    MIN_REPETITION_PENALTY,
    MIN_TEMPERATURE,
)

ResponseFormat = Literal["json", "text", "verbose_json", SubtitleFormat]
Granularity = Literal["word", "segment"]

MAX_SEED = 2**63 - 1
MAX_PREFIX_PADDING_MS, MAX_SILENCE_MS = 15_000, 60_000

MAX_LANGUAGES = 100
"""Of `languages`: as many as Whisper has."""

UNSUPPORTED_FORMATS = {"diarized_json": "speakers are not distinguished"}

_FORMAT_ALIASES = {"txt": "text", "webvtt": "vtt"}


def read_format(value: object) -> object:
    """Return a response format, or a granularity, in lower case and as OpenAI spells it."""
    if not isinstance(value, str):
        return value
    name = value.strip().lower().replace("-", "_")
    return _FORMAT_ALIASES.get(name, name)


def _check_temperature(value: float) -> float:
    if 0 < value < MIN_TEMPERATURE:
        raise ValueError
    return value


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServerVad(_Model):
    """`chunking_strategy` as an object, with OpenAI's defaults; without `silence_duration_ms`, it cuts as auto."""

    type: Literal["server_vad"]
    prefix_padding_ms: Annotated[int, PlainNumber] = Field(300, ge=0, le=MAX_PREFIX_PADDING_MS)
    silence_duration_ms: Annotated[int, PlainNumber] | None = Field(None, ge=0, le=MAX_SILENCE_MS)
    threshold: Annotated[float, PlainNumber] = Field(0.5, ge=0, le=1)


class Parameters(_Model, ShapeFields):
    """All fields but `file` and `model`."""

    language: str | None = Field(None, description='a language code ("de") or name ("german")')
    languages: tuple[str, ...] = Field(
        (),
        max_length=MAX_LANGUAGES,
        fail_fast=True,
        description=f"at most {MAX_LANGUAGES} codes or names of languages",
    )
    detect_language: bool = Field(False, description="true or false")
    prompt: Prompt | None = Field(None, description=PROMPT_ALLOWED)
    response_format: Annotated[ResponseFormat, BeforeValidator(read_format)] = Field(
        "json", description="json, text, srt, verbose_json, vtt, ass, lrc or tsv"
    )
    temperature: Annotated[float, PlainNumber, AfterValidator(_check_temperature)] = Field(
        0.0, ge=0, le=1, description=f"0, or a number from {MIN_TEMPERATURE:g} to 1"
    )
    seed: Annotated[int, PlainNumber] = Field(
        0, ge=0, le=MAX_SEED, description=f"a whole number from 0 to {MAX_SEED}"
    )
    repetition_penalty: Annotated[float, PlainNumber] = Field(
        1.0,
        ge=MIN_REPETITION_PENALTY,
        le=MAX_PENALTY,
        description=f"a number from {MIN_REPETITION_PENALTY:g} to {MAX_PENALTY:g} (1: off)",
    )
    num_beams: Annotated[int, PlainNumber] = Field(
        DEFAULT_NUM_BEAMS, ge=1, description="a whole number from 1 to the server's --max-beams"
    )
    timestamp_granularities: tuple[Annotated[Granularity, BeforeValidator(read_format)], ...] = Field(
        (), fail_fast=True, description="word, segment or both"
    )
    word_timestamps: bool | None = Field(None, description="true or false")
    stream: bool = Field(False, description="true or false")
    include: tuple[Annotated[Literal["logprobs"], BeforeValidator(read_format)], ...] = Field(
        (), fail_fast=True, description="logprobs"
    )
    logprobs: bool = Field(False, description="true or false")
    chunking_strategy: Literal["auto"] | ServerVad = Field(
        "auto",
        description='auto, or {"type": "server_vad"} with prefix_padding_ms (a whole number from 0 to '
        f"{MAX_PREFIX_PADDING_MS}), silence_duration_ms (0 to {MAX_SILENCE_MS}) and threshold (0 to 1)",
    )
    hotwords: Prompt | None = Field(None, description=PROMPT_ALLOWED)
    audio_track: Annotated[int, PlainNumber] | None = Field(
        None, ge=0, le=MAX_AUDIO_TRACK, description=AUDIO_TRACK_ALLOWED
    )
    keywords: Keywords = Field((), description=KEYWORDS_ALLOWED)


PARAMETERS = (
    *("file", "model"),
    *(name for name in Parameters.model_fields if name not in SHAPE_FIELDS),
    *SHAPE_FIELDS,
)
"""The parameters of transcriptions and of translations."""
