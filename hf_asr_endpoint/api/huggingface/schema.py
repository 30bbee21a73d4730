"""The keys of `parameters` with their types and ranges. Each field's description says what is allowed.

Source: `common-definitions.json#/GenerationParameters` in huggingface/huggingface.js. Extensions have the names of
transformers' Whisper; `best_of`, `patience` and `prompt` have those of openai/whisper. A new decoding parameter
needs only a field here that has the name of the one in `types.DecodingOptions` or in one of its groups.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from hf_asr_endpoint.api.texts import AUDIO_TRACK_ALLOWED, MAX_AUDIO_TRACK, PROMPT_ALLOWED, Prompt, check_number
from hf_asr_endpoint.api.values import is_null, number_of, plain
from hf_asr_endpoint.decoding_options import (
    FALLBACK_TEMPERATURES,
    MAX_PENALTY,
    MAX_TEMPERATURE,
    MIN_REPETITION_PENALTY,
    MIN_TEMPERATURE,
)
from hf_asr_endpoint.types import Task
from hf_asr_endpoint.units import MAX_PROMPT_TOKENS, MAX_TARGET_POSITIONS, WINDOW_S

PROSE = ("prompt",)
"""Texts that are taken as they are."""

LISTS = ("suppress_tokens",)
"""Parameters whose empty value is not null."""

MAX_NEW_TOKENS = MAX_TARGET_POSITIONS - MAX_PROMPT_TOKENS


def _check_temperature(value: float) -> float:
    if value != 0 and not MIN_TEMPERATURE <= value <= MAX_TEMPERATURE:
        raise ValueError
    return value


_Probability = Annotated[
    float | None, Field(default=None, gt=0, le=1, description="a number above 0, up to 1 (off)")
]
MAX_SEED = 2**63 - 1

_Cutoff = Annotated[float | None, Field(default=None, ge=0, lt=1, description="a number from 0 (off) to below 1")]


def _read_ladder(value: list[Any] | tuple[Any, ...]) -> object:
    """Return None for the temperatures of the fallback, and the item of a list of one."""
    if tuple(map(number_of, value)) == FALLBACK_TEMPERATURES:
        return None
    return value[0] if len(value) == 1 else value


def _check_chunk_length(value: float | None) -> float | None:
    if value is not None and 0 < value < 1:
        raise ValueError
    return value or None


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_spelling(cls, value: object, info: ValidationInfo) -> object:
        """Read null, switches and numbers in any spelling; a query string has only texts, and so do some programs.

        Refuses "1_0" and true as a number, which pydantic reads as 10 and 1.
        """
        name = info.field_name or ""
        types = {getattr(kind, "__origin__", kind) for kind in get_args(cls.model_fields[name].annotation)}
        if name == "temperature" and isinstance(value, list | tuple):
            value = _read_ladder(value)
        if name in PROSE or (isinstance(value, list | dict) and value):
            return value
        if is_null(value) and not (name in LISTS and value in ("", [], "[]")):
            return None
        if isinstance(value, str):
            value = plain(value)
        return check_number(value) if {int, float} & types else value


class GenerationParameters(_Model):
    """`parameters.generation_parameters`. An absent key and null both mean the default."""

    do_sample: bool | None = Field(None, description="true or false")
    early_stopping: bool | Literal["never"] | None = Field(None, description='true, false or "never"')
    epsilon_cutoff: _Cutoff
    eta_cutoff: _Cutoff
    max_length: int | None = Field(
        None,
        gt=MAX_PROMPT_TOKENS,
        le=MAX_TARGET_POSITIONS,
        description=f"a whole number from {MAX_PROMPT_TOKENS + 1} to {MAX_TARGET_POSITIONS}",
    )
    max_new_tokens: int | None = Field(
        None, ge=1, le=MAX_NEW_TOKENS, description=f"a whole number from 1 to {MAX_NEW_TOKENS}"
    )
    min_length: int | None = Field(
        None, ge=0, le=MAX_TARGET_POSITIONS, description=f"a whole number from 0 to {MAX_TARGET_POSITIONS}"
    )
    min_new_tokens: int | None = Field(
        None, ge=0, le=MAX_NEW_TOKENS, description=f"a whole number from 0 to {MAX_NEW_TOKENS}"
    )
    num_beam_groups: int | None = Field(None, ge=1, description="a whole number of 1 (off) or more")
    num_beams: int | None = Field(None, ge=1, description="a whole number of 1 or more")
    penalty_alpha: float | None = Field(None, ge=0, le=1, description="a number from 0 (off) to 1")
    temperature: Annotated[float, AfterValidator(_check_temperature)] | None = Field(
        None,
        description=f"0, or a number from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}, or the list of the "
        f"fallback's temperatures, {', '.join(f'{step:g}' for step in FALLBACK_TEMPERATURES)}",
    )
    top_k: int | None = Field(None, ge=0, description="a whole number of 0 (off) or more")
    top_p: _Probability
    typical_p: _Probability
    use_cache: bool | None = Field(None, description="true or false")

    # Extensions.
    best_of: int | None = Field(None, ge=1, description="a whole number of 1 or more")
    compression_ratio_threshold: float | None = Field(None, ge=0, description="a number of 0 or more")
    condition_on_prev_tokens: bool | None = Field(None, description="true or false")
    diversity_penalty: float | None = Field(
        None, ge=0, le=MAX_PENALTY, description=f"a number from 0 to {MAX_PENALTY:g}"
    )
    length_penalty: float | None = Field(
        None, ge=-MAX_PENALTY, le=MAX_PENALTY, description=f"a number from {-MAX_PENALTY:g} to {MAX_PENALTY:g}"
    )
    logprob_threshold: float | None = Field(None, le=0, description="a number of 0 or less")
    no_speech_threshold: float | None = Field(None, ge=0, le=1, description="a number from 0 to 1 (off)")
    patience: float | None = Field(
        None, gt=0, le=MAX_PENALTY, description=f"a number above 0, up to {MAX_PENALTY:g}"
    )
    prompt: Prompt | None = Field(None, description=PROMPT_ALLOWED)
    repetition_penalty: float | None = Field(
        None,
        ge=MIN_REPETITION_PENALTY,
        le=MAX_PENALTY,
        description=f"a number from {MIN_REPETITION_PENALTY:g} to {MAX_PENALTY:g} (1: off)",
    )
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description=f"a whole number from 0 to {MAX_SEED}")
    suppress_tokens: str | Annotated[list[int], Field(fail_fast=True)] | None = Field(
        None,
        description='a list of token ids, or text such as "1,2"; -1 stands for the model\'s own list, "" for none',
    )

    # Extensions that are also allowed next to `generation_parameters`.
    language: str | None = Field(None, description='a language code ("de") or name ("german")')
    task: Task | None = Field(None, description='"transcribe" or "translate"')

    # It belongs next to `generation_parameters`. Whisper's `generate` has it, and so do examples of it.
    return_timestamps: bool | Literal["word"] | None = Field(None, description='true, false or "word"')


class Parameters(_Model):
    """`parameters`."""

    return_timestamps: bool | Literal["word"] | None = Field(None, description='true, false or "word"')
    generation_parameters: GenerationParameters | None = Field(None, description="an object")
    audio_track: int | None = Field(None, ge=0, le=MAX_AUDIO_TRACK, description=AUDIO_TRACK_ALLOWED)
    language: str | None = Field(None, description='a language code ("de") or name ("german")')
    task: Task | None = Field(None, description='"transcribe" or "translate"')
    chunk_length_s: Annotated[float | None, AfterValidator(_check_chunk_length)] = Field(
        None, ge=0, le=WINDOW_S, description=f"0 (the default), or a number of seconds from 1 to {WINDOW_S}"
    )
