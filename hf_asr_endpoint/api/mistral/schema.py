"""The form's fields with their types, ranges and defaults. Each field's description says what is allowed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hf_asr_endpoint.api.plain_fields import FALSE
from hf_asr_endpoint.api.texts import KEYWORDS_ALLOWED, Keywords, PlainNumber
from hf_asr_endpoint.decoding_options import MIN_TEMPERATURE

FILE = "file"
LISTS = ("timestamp_granularities", "context_bias")
"""Fields that may be repeated."""

ONLY = {
    "diarize": (FALSE, "speakers are not distinguished"),
    "speaker_references": (("{}",), "speakers are not distinguished"),
    "file_url": ((), "URLs are not opened"),
    "file_id": ((), "files are not kept"),
}
"""Fields that only have values that change nothing, and why. See `plain_fields.check_only`."""


def _check_temperature(value: float) -> float:
    if 0 < value < MIN_TEMPERATURE:
        raise ValueError
    return value


class Parameters(BaseModel):
    """The fields but those in ONLY."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str | None = Field(None, description="a name of the model that is served")
    language: str | None = Field(None, description='a language code ("de") or English name ("german")')
    temperature: Annotated[float, PlainNumber, AfterValidator(_check_temperature)] = Field(
        0.0, ge=0, le=1, description=f"0, or a number from {MIN_TEMPERATURE:g} to 1"
    )
    stream: bool = Field(False, description="true or false")
    timestamp_granularities: tuple[Literal["segment", "word"], ...] = Field((), description="segment or word")
    context_bias: Keywords = Field((), description=KEYWORDS_ALLOWED)


FIELDS = (*Parameters.model_fields, *ONLY)
"""All fields but the file."""
