"""The keys of `parameters` with their types and ranges. Each field's description says what is allowed.

Source: `common-definitions.json#/GenerationParameters` in huggingface/huggingface.js. Extensions have the names of
transformers' Whisper; `best_of`, `patience` and `prompt` have those of openai/whisper. A new decoding parameter
needs only a field here that has the name of the one in `types.DecodingOptions` or in one of its groups.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from hf_asr_endpoint.api.texts import AUDIO_TRACK_ALLOWED, MAX_AUDIO_TRACK, PROMPT_ALLOWED, Prompt, check_number
from hf_asr_endpoint.decoding_options import MAX_TEMPERATURE, MIN_TEMPERATURE
from hf_asr_endpoint.types import Task
from hf_asr_endpoint.units import MAX_PROMPT_TOKENS, MAX_TARGET_POSITIONS

MAX_NEW_TOKENS = MAX_TARGET_POSITIONS - MAX_PROMPT_TOKENS


def _check_temperature(value: float) -> float:
    if value != 0 and not MIN_TEMPERATURE <= value <= MAX_TEMPERATURE:
        raise ValueError
    return value


_Probability = Annotated[
    float | None, Field(default=None, gt=0, le=1, description="a number above 0, up to 1 (off)")
]
MAX_PENALTY = 10.0
"""The maximum of the penalties and of `patience`. A length to a higher power overflows."""

MIN_REPETITION_PENALTY = 0.1
"""Logits divided by a penalty close to 0 overflow."""

MAX_SEED = 2**63 - 1

UNSUPPORTED_KEYS = {
    "assistant_model": "the server runs one model",
    "beam_size": "use num_beams",
    "begin_suppress_tokens": "the model's own list always applies",
    "decoder_input_ids": "use prompt, with the previous text",
    "forced_decoder_ids": "use language and task",
    "initial_prompt": "use prompt",
    "log_prob_threshold": "use logprob_threshold",
    "no_repeat_ngram_size": "text that repeats itself is decoded again, see compression_ratio_threshold",
    "num_return_sequences": "one text is returned",
    "prompt_ids": "use prompt, with text",
    "return_token_timestamps": 'use return_timestamps: "word", in parameters',
}
"""Keys of transformers' `generate` or of other Whisper programs, with a replacement or a reason."""

_Cutoff = Annotated[float | None, Field(default=None, ge=0, lt=1, description="a number from 0 (off) to below 1")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse "1_0" as a number in a query string. pydantic reads it as 10."""
        types = get_args(cls.model_fields[info.field_name or ""].annotation)
        is_number = {int, float} & {getattr(kind, "__origin__", kind) for kind in types}
        return check_number(value) if is_number else value


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
        None, description=f"0, or a number from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}"
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
    language: str | None = Field(None, description='a language code ("de") or English name ("german")')
    task: Task | None = Field(None, description='"transcribe" or "translate"')


class Parameters(_Model):
    """`parameters`."""

    return_timestamps: bool | Literal["word"] | None = Field(None, description='true, false or "word"')
    generation_parameters: GenerationParameters | None = Field(None, description="an object")
    audio_track: int | None = Field(None, ge=0, le=MAX_AUDIO_TRACK, description=AUDIO_TRACK_ALLOWED)
    language: str | None = Field(None, description='a language code ("de") or English name ("german")')
    task: Task | None = Field(None, description='"transcribe" or "translate"')
