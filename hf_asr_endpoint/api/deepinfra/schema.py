"""The form's fields with their types, ranges and defaults. Each field's description says what is allowed.

Sources: the API pages of DeepInfra's Whisper models, the types of deepinfra-node, and openai/whisper's
`transcribe`, which has the same names and defaults. `num_beams` is an extension.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from hf_asr_endpoint.api.fixed_parameters import SHARED, Fixed, nothing, only
from hf_asr_endpoint.api.suppress_tokens import parse_suppress_tokens
from hf_asr_endpoint.api.texts import AUDIO_TRACK_ALLOWED, MAX_AUDIO_TRACK, PROMPT_ALLOWED, Prompt, check_number
from hf_asr_endpoint.decoding_options import DEFAULT_NUM_BEAMS, MIN_TEMPERATURE
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import Task
from hf_asr_endpoint.units import WINDOW_S

DEFAULT_BEAMS_WITH_PATIENCE = 5
"""openai/whisper's command line has 5 beams by default, on which `patience` acts."""

FIXED: Fixed = {
    **SHARED,
    "vad_parameters": nothing("the detector of speech has no parameters here"),
    **dict.fromkeys(("beam_size", "n"), only(1, reason="the number of beams is called num_beams here")),
    "prompt": nothing("use initial_prompt"),
    **dict.fromkeys(("hotwords", "keywords"), nothing("use initial_prompt; OpenAI's paths have them")),
    "log_prob_threshold": only(-1, reason="it is called logprob_threshold here"),
    "word_timestamps": only(False, reason="chunk_level=word asks for words here"),
    "repetition_penalty": only(1, reason="here it is 1; OpenAI's paths and the Hugging Face API have it"),
    "seed": only(0, reason="here it is 0; OpenAI's paths and the Hugging Face API have it"),
    "stream": only(False, reason="only OpenAI's paths stream"),
    "response_format": only("json", "verbose_json", reason="OpenAI's paths have other formats"),
}
"""Parameters of other servers that leave no choice here."""

AUDIO = "audio"
"""The field with the file."""

VERSION = "version"
"""The field of the query string that names a revision of the model."""

MAX_PATIENCE = 10.0
MIN_INCREMENT = 0.05
"""Of the temperature. A smaller one would decode a window many times with little change."""

TEXTS = ("task", "language", "initial_prompt", "suppress_tokens", "chunk_level", "webhook")
"""Text fields. Plain text can be valid JSON of another type, for example a prompt of digits."""

PROSE = ("initial_prompt",)
"""Texts that are taken as they are."""

LISTS = ("suppress_tokens",)
"""Fields that can be a list in a JSON document."""

NULLABLE = (
    "temperature_increment_on_fallback",
    "compression_ratio_threshold",
    "logprob_threshold",
    "no_speech_threshold",
)
"""Fields that null switches off. For other fields null means the default."""


def _check_temperature(value: float) -> float:
    if 0 < value < MIN_TEMPERATURE:
        raise ValueError
    return value


def _check_increment(value: float | None) -> float | None:
    if value is not None and 0 < value < MIN_INCREMENT:
        raise ValueError
    return value


def _parse_tokens(value: object) -> object:
    """Return the ids in text such as "1,2" or "[1,2]", or in a list; None for the model's own list."""
    if isinstance(value, list) and all(type(item) is int for item in value):
        value = ",".join(str(item) for item in value)
    if not isinstance(value, str):
        return value
    try:
        return parse_suppress_tokens(value.strip().removeprefix("[").removesuffix("]"))
    except InvalidParameter as exc:
        raise ValueError from exc  # pydantic reports it with the value as it was given.


class Parameters(BaseModel):
    """All fields but `audio`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_type(cls, value: object, info: ValidationInfo) -> object:
        """Refuse values that are numbers in Python but not in JSON."""
        return value if info.field_name in (*TEXTS, "condition_on_previous_text") else check_number(value)

    task: Task = Field("transcribe", description="transcribe or translate")
    language: str | None = Field(None, description='a language code ("de") or name ("german")')
    temperature: Annotated[float, AfterValidator(_check_temperature)] = Field(
        0.0, ge=0, le=1, description=f"0, or a number from {MIN_TEMPERATURE:g} to 1"
    )
    initial_prompt: Prompt | None = Field(None, description=PROMPT_ALLOWED)
    patience: float = Field(1.0, gt=0, le=MAX_PATIENCE, description=f"a number above 0, up to {MAX_PATIENCE:g}")
    num_beams: int | None = Field(None, ge=1, description="a whole number from 1 to the server's --max-beams")
    suppress_tokens: Annotated[
        tuple[int, ...] | None, BeforeValidator(_parse_tokens, json_schema_input_type=str | list[int] | None)
    ] = Field(None, description="token ids, separated by commas; -1 stands for the model's own list")
    condition_on_previous_text: bool = Field(True, description="true or false")
    temperature_increment_on_fallback: Annotated[float | None, AfterValidator(_check_increment)] = Field(
        0.2, ge=0, le=1, description=f"null or 0 (off), or a number from {MIN_INCREMENT:g} to 1"
    )
    compression_ratio_threshold: float | None = Field(
        2.4, ge=0, description="null (off), or a number of 0 or more"
    )
    logprob_threshold: float | None = Field(-1.0, le=0, description="null (off), or a number of 0 or less")
    no_speech_threshold: float | None = Field(0.6, ge=0, le=1, description="null (off), or a number from 0 to 1")
    chunk_level: Literal["segment", "word"] = Field("segment", description="segment or word")
    chunk_length_s: int = Field(WINDOW_S, ge=1, le=WINDOW_S, description=f"a whole number from 1 to {WINDOW_S}")
    audio_track: int | None = Field(None, ge=0, le=MAX_AUDIO_TRACK, description=AUDIO_TRACK_ALLOWED)
    webhook: Annotated[str, StringConstraints(strip_whitespace=True)] | None = Field(
        None, description="an http or https URL"
    )

    @property
    def n_beams(self) -> int:
        """The number of beams: as given; without it, 5 where `patience` is given, which acts on beams."""
        if self.num_beams is not None:
            return self.num_beams
        return DEFAULT_NUM_BEAMS if self.patience == 1 else DEFAULT_BEAMS_WITH_PATIENCE


FIELDS = (AUDIO, *Parameters.model_fields)
