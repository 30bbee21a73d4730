"""The form's fields with their types and ranges. Each field's description says what is allowed.

Source: `CreateTranscriptionRequest` and `CreateTranslationRequest` of openai/openai-openapi. `seed`,
`hotwords`, `audio_track`, `language` for translations, the formats ass, lrc and tsv, and the fields that shape
subtitles are extensions.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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
from hf_asr_endpoint.decoding_options import MIN_TEMPERATURE

ResponseFormat = Literal["json", "text", "verbose_json", SubtitleFormat]
Granularity = Literal["word", "segment"]

MAX_SEED = 2**63 - 1
MAX_PREFIX_PADDING_MS, MAX_SILENCE_MS = 15_000, 60_000

TRANSLATION_PARAMETERS = (
    *("file", "model", "prompt", "response_format", "temperature", "seed", "language", "audio_track"),
    *SHAPE_FIELDS,
)
"""The parameters of a translation."""

UNSUPPORTED_KEYS = {
    "known_speaker_names": "speakers are not distinguished",
    "known_speaker_references": "speakers are not distinguished",
    "languages": "use `language` for one language, or omit it to detect the language",
}
"""OpenAI's other parameters, and why they are refused."""

UNSUPPORTED_FORMATS = {"diarized_json": "speakers are not distinguished"}


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

    language: str | None = Field(None, description='a language code ("de") or English name ("german")')
    prompt: Prompt | None = Field(None, description=PROMPT_ALLOWED)
    response_format: ResponseFormat = Field(
        "json", description="json, text, srt, verbose_json, vtt, ass, lrc or tsv"
    )
    temperature: Annotated[float, PlainNumber, AfterValidator(_check_temperature)] = Field(
        0.0, ge=0, le=1, description=f"0, or a number from {MIN_TEMPERATURE:g} to 1"
    )
    seed: Annotated[int, PlainNumber] = Field(
        0, ge=0, le=MAX_SEED, description=f"a whole number from 0 to {MAX_SEED}"
    )
    timestamp_granularities: tuple[Granularity, ...] = Field(
        (), fail_fast=True, description="word, segment or both"
    )
    stream: bool = Field(False, description="true or false")
    include: tuple[Literal["logprobs"], ...] = Field((), fail_fast=True, description="logprobs")
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
