"""The keys of `parameters` with their types and ranges; each field's description is what is allowed there.

Source: `common-definitions.json#/GenerationParameters` in huggingface/huggingface.js; the keys that are
extensions say so.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hf_asr_endpoint.types import MAX_TEMPERATURE, MIN_TEMPERATURE, Task
from hf_asr_endpoint.units import MAX_PROMPT_TOKENS, MAX_TARGET_POSITIONS

MAX_BEAMS = 16
MAX_NEW_TOKENS = MAX_TARGET_POSITIONS - MAX_PROMPT_TOKENS


def _check_temperature(value: float) -> float:
    if value != 0 and not MIN_TEMPERATURE <= value <= MAX_TEMPERATURE:
        raise ValueError
    return value


_Probability = Annotated[
    float | None, Field(default=None, gt=0, le=1, description="a number above 0 and up to 1 (1: off)")
]
_Cutoff = Annotated[float | None, Field(default=None, ge=0, lt=1, description="a number from 0 (off) to below 1")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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
    num_beam_groups: int | None = Field(
        None, ge=1, le=1, description="1: diverse beam search is not supported yet"
    )
    num_beams: int | None = Field(None, ge=1, le=MAX_BEAMS, description=f"a whole number from 1 to {MAX_BEAMS}")
    penalty_alpha: float | None = Field(None, ge=0, le=0, description="0: contrastive search is not supported yet")
    temperature: Annotated[float, AfterValidator(_check_temperature)] | None = Field(
        None, description=f"0, or a number from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}"
    )
    top_k: int | None = Field(None, ge=0, description="a whole number from 0 (off) on")
    top_p: _Probability
    typical_p: _Probability
    use_cache: bool | None = Field(None, description="true or false")

    # Extensions, which may also stand beside `generation_parameters`.
    language: str | None = Field(None, description='a language by code ("de") or English name ("german")')
    task: Task | None = Field(None, description='"transcribe" or "translate"')


class Parameters(_Model):
    """`parameters`."""

    return_timestamps: bool | Literal["word"] | None = Field(None, description='true, false or "word"')
    generation_parameters: GenerationParameters | None = Field(None, description="an object")
    language: str | None = Field(None, description='a language by code ("de") or English name ("german")')
    task: Task | None = Field(None, description='"transcribe" or "translate"')
