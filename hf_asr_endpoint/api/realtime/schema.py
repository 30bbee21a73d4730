"""The session object of the Realtime API, as clients send it. Source: openai/openai-openapi, November 2026.

Extensions: other rates than 24 kHz, and words and interim among `include`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hf_asr_endpoint.api.texts import Keywords, Prompt
from hf_asr_endpoint.transcription.live.options import Delay

PCM_RATE, TELEPHONE_RATE = 24_000, 8_000
MIN_RATE, MAX_RATE = 8_000, 48_000
MAX_LANGUAGES = 100

Included = Literal[
    "item.input_audio_transcription.logprobs",
    "item.input_audio_transcription.words",
    "item.input_audio_transcription.interim",
]
LOGPROBS: Included = "item.input_audio_transcription.logprobs"
WORDS: Included = "item.input_audio_transcription.words"
INTERIM: Included = "item.input_audio_transcription.interim"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Pcm(_Model):
    type: Literal["audio/pcm"]
    rate: int = Field(PCM_RATE, ge=MIN_RATE, le=MAX_RATE)


class Pcmu(_Model):
    type: Literal["audio/pcmu"]


class Pcma(_Model):
    type: Literal["audio/pcma"]


Format = Annotated[Pcm | Pcmu | Pcma, Field(discriminator="type")]


class TranscriptionSettings(_Model):
    """Fields that are absent stay as they were."""

    model: str | None = Field(None, max_length=200)
    language: str | None = Field(None, max_length=60)
    languages: list[Annotated[str, Field(max_length=60)]] | None = Field(None, max_length=MAX_LANGUAGES)
    prompt: Prompt | None = None
    keywords: Annotated[Keywords, Field(strict=False)] | None = None
    delay: Delay | None = None


class ServerVadSettings(_Model):
    type: Literal["server_vad"]
    threshold: float = Field(0.5, ge=0, le=1)
    prefix_padding_ms: int = Field(300, ge=0, le=15_000)
    silence_duration_ms: int = Field(500, ge=0, le=60_000)
    idle_timeout_ms: int | None = Field(None, ge=5_000, le=30_000)
    create_response: bool | None = None
    interrupt_response: bool | None = None


class SemanticVadSettings(_Model):
    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool | None = None
    interrupt_response: bool | None = None


DetectionSettings = Annotated[ServerVadSettings | SemanticVadSettings, Field(discriminator="type")]


class InputSettings(_Model):
    format: Format | None = None
    transcription: TranscriptionSettings | None = None
    noise_reduction: None = None
    turn_detection: DetectionSettings | None = None


class AudioSettings(_Model):
    input: InputSettings | None = None


class SessionSettings(_Model):
    """What `session.update` and a client secret carry."""

    type: Literal["transcription"] | None = None
    include: list[Included] | None = None
    audio: AudioSettings | None = None


class ExpiresAfter(_Model):
    anchor: Literal["created_at"] = "created_at"
    seconds: int = Field(600, ge=10, le=7_200)


class SecretRequest(_Model):
    """The body of `POST /v1/realtime/client_secrets`."""

    session: SessionSettings | None = None
    expires_after: ExpiresAfter = Field(default_factory=lambda: ExpiresAfter.model_validate({}))
