"""The keys of `parameters` with their types and ranges; each field's description is what is allowed there.

Source: `common-definitions.json#/GenerationParameters` in huggingface/huggingface.js. The extensions have the
names of transformers' Whisper; `best_of`, `patience` and `prompt` have those of openai/whisper.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from hf_asr_endpoint.api.texts import PROMPT_ALLOWED, Prompt, check_number
from hf_asr_endpoint.types import MAX_TEMPERATURE, MIN_TEMPERATURE, Task
from hf_asr_endpoint.units import MAX_PROMPT_TOKENS, MAX_TARGET_POSITIONS

MAX_NEW_TOKENS = MAX_TARGET_POSITIONS - MAX_PROMPT_TOKENS


def _check_temperature(value: float) -> float:
    if value != 0 and not MIN_TEMPERATURE <= value <= MAX_TEMPERATURE:
        raise ValueError
    return value


_Probability = Annotated[
    float | None, Field(default=None, gt=0, le=1, description="a number above 0 and up to 1 (1: off)")
]
MAX_PENALTY = 10.0
"""Of length, diversity and repetition: lengths to a higher power overflow."""

MIN_REPETITION_PENALTY = 0.1
"""Logits over a smaller one overflow."""

MAX_SEED = 2**63 - 1

UNSUPPORTED_KEYS = {
    "assistant_model": "one model is served",
    "beam_size": "it is num_beams here",
    "begin_suppress_tokens": "the model's own hold",
    "decoder_input_ids": "the text before is prompt",
    "forced_decoder_ids": "there are language and task for it",
    "initial_prompt": "it is prompt here",
    "log_prob_threshold": "it is logprob_threshold here",
    "no_repeat_ngram_size": "what repeats itself is decoded again, by compression_ratio_threshold",
    "num_return_sequences": "one text is returned",
    "prompt_ids": "there is prompt for it, as text",
    "return_token_timestamps": 'there is return_timestamps: "word" for it, in parameters',
}
"""Keys of transformers' `generate`, or of others who run Whisper, and why they are refused."""

_Cutoff = Annotated[float | None, Field(default=None, ge=0, lt=1, description="a number from 0 (off) to below 1")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse "1_0" for a number in a query string, which pydantic takes for 10."""
        types = get_args(cls.model_fields[info.field_name or ""].annotation)
        is_number = {int, float} & {getattr(kind, "__origin__", kind) for kind in types}
        return check_number(value) if is_number else value


class GenerationParameters(_Model):
    """`parameters.generation_parameters`. Absent and null mean the same: the default."""

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
    num_beam_groups: int | None = Field(None, ge=1, description="a whole number from 1 (off) on")
    num_beams: int | None = Field(None, ge=1, description="a whole number from 1 on")
    penalty_alpha: float | None = Field(None, ge=0, le=1, description="a number from 0 (off) to 1")
    temperature: Annotated[float, AfterValidator(_check_temperature)] | None = Field(
        None, description=f"0, or a number from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}"
    )
    top_k: int | None = Field(None, ge=0, description="a whole number from 0 (off) on")
    top_p: _Probability
    typical_p: _Probability
    use_cache: bool | None = Field(None, description="true or false")

    # Extensions.
    best_of: int | None = Field(None, ge=1, description="a whole number from 1 on")
    compression_ratio_threshold: float | None = Field(None, ge=0, description="a number from 0 on")
    condition_on_prev_tokens: bool | None = Field(None, description="true or false")
    diversity_penalty: float | None = Field(
        None, ge=0, le=MAX_PENALTY, description=f"a number from 0 to {MAX_PENALTY:g}"
    )
    length_penalty: float | None = Field(
        None, ge=-MAX_PENALTY, le=MAX_PENALTY, description=f"a number from {-MAX_PENALTY:g} to {MAX_PENALTY:g}"
    )
    logprob_threshold: float | None = Field(None, le=0, description="a number up to 0")
    no_speech_threshold: float | None = Field(None, ge=0, le=1, description="a number from 0 to 1 (off)")
    patience: float | None = Field(
        None, gt=0, le=MAX_PENALTY, description=f"a number above 0 and up to {MAX_PENALTY:g}"
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
        None, description='token ids, as a list or with commas between; "-1" for the model\'s own, "" for none'
    )

    # Extensions that may also stand beside `generation_parameters`.
    language: str | None = Field(None, description='a language by code ("de") or English name ("german")')
    task: Task | None = Field(None, description='"transcribe" or "translate"')


class Parameters(_Model):
    """`parameters`."""

    return_timestamps: bool | Literal["word"] | None = Field(None, description='true, false or "word"')
    generation_parameters: GenerationParameters | None = Field(None, description="an object")
    language: str | None = Field(None, description='a language by code ("de") or English name ("german")')
    task: Task | None = Field(None, description='"transcribe" or "translate"')
