"""The form's fields with their types, ranges and defaults. Each field's description says what is allowed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from hf_asr_endpoint.api.plain_fields import FALSE, TRUE
from hf_asr_endpoint.api.subtitles import SHAPE_FIELDS, ShapeFields
from hf_asr_endpoint.api.texts import PROMPT_ALLOWED, PlainNumber, Prompt
from hf_asr_endpoint.decoding_options import MIN_TEMPERATURE
from hf_asr_endpoint.subtitles.files import SubtitleFormat

FILE = "file"
"""The part with the file."""

MIN_INCREMENT = 0.05
"""Of the temperature. A smaller one would decode a window many times with little change."""

MAX_SILENCE_MS, MAX_PAD_MS = 60_000, 15_000

ResponseFormat = Literal["json", "text", "verbose_json", SubtitleFormat]

_ZERO = ("0", "0.0")
ONLY = {
    "offset_t": (_ZERO, "the whole file is transcribed"),
    "offset_n": (_ZERO, "cues are numbered from 1"),
    "duration": (_ZERO, "the whole file is transcribed"),
    "max_context": (("0", "-1"), "windows are decoded without the text before them"),
    "max_len": (_ZERO, "use max_line_width and max_line_count to shape subtitles"),
    "split_on_word": ((*TRUE, *FALSE), "text is cut between words"),
    "audio_ctx": (_ZERO, "the context is that of the audio"),
    "word_thold": (("0.01",), "times of words come from attention"),
    "entropy_thold": (("2.4", "2.40"), "repetition is measured by compression, with a threshold of 2.4"),
    "debug_mode": (FALSE, "there is no debug output"),
    "diarize": (FALSE, "speakers are not distinguished"),
    "tinydiarize": (FALSE, "speakers are not distinguished"),
    "carry_initial_prompt": (TRUE, "the prompt precedes every window"),
    "vad": ((*TRUE, *FALSE), "silence is always left out, and speech never is"),
    "vad_min_speech_duration_ms": (("250",), "only its default"),
    "vad_max_speech_duration_s": ((), "chunks have up to 30 seconds"),
    "vad_samples_overlap": (("0.1",), "only its default"),
}
"""Fields that only have values that change nothing, and why. See `plain_fields.check_only`."""


def _check_temperature(value: float) -> float:
    if 0 < value < MIN_TEMPERATURE:
        raise ValueError
    return value


def _check_increment(value: float) -> float:
    if 0 < value < MIN_INCREMENT:
        raise ValueError
    return value


class Parameters(ShapeFields):
    """The fields but those in ONLY. ass, lrc and tsv, `model`, and the fields of ShapeFields are extensions."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    temperature: Annotated[float, PlainNumber, AfterValidator(_check_temperature)] = Field(
        0.0, ge=0, le=1, description=f"0, or a number from {MIN_TEMPERATURE:g} to 1"
    )
    temperature_inc: Annotated[float, PlainNumber, AfterValidator(_check_increment)] = Field(
        0.2, ge=0, le=1, description=f"0 (off), or a number from {MIN_INCREMENT:g} to 1"
    )
    response_format: ResponseFormat = Field(
        "json", description="json, text, srt, verbose_json, vtt, ass, lrc or tsv"
    )
    language: str | None = Field(None, description='a language code ("de") or English name ("german"), or auto')
    detect_language: bool = Field(False, description="true or false")
    translate: bool = Field(False, description="true or false")
    prompt: Prompt | None = Field(None, description=PROMPT_ALLOWED)
    best_of: Annotated[int, PlainNumber] | None = Field(
        None, ge=1, description="a whole number from 1 to the server's --max-beams"
    )
    beam_size: Annotated[int, PlainNumber] = Field(
        -1, ge=-1, description="-1 (no beams), or a whole number up to the server's --max-beams"
    )
    logprob_thold: Annotated[float, PlainNumber] = Field(-1.0, le=0, description="a number of 0 or less")
    no_speech_thold: Annotated[float, PlainNumber] = Field(0.6, ge=0, le=1, description="a number from 0 to 1")
    suppress_nst: bool | None = Field(None, description="true or false")
    """Absent: as true."""
    no_timestamps: bool = Field(False, description="true or false")
    token_timestamps: bool | None = Field(None, description="true or false")
    no_language_probabilities: bool = Field(False, description="true or false")
    vad_threshold: Annotated[float, PlainNumber] = Field(0.5, ge=0, le=1, description="a number from 0 to 1")
    vad_min_silence_duration_ms: Annotated[int, PlainNumber] | None = Field(
        None, ge=0, le=MAX_SILENCE_MS, description=f"a whole number from 0 to {MAX_SILENCE_MS}"
    )
    vad_speech_pad_ms: Annotated[int, PlainNumber] | None = Field(
        None, ge=0, le=MAX_PAD_MS, description=f"a whole number from 0 to {MAX_PAD_MS}"
    )


ALIASES = {"suppress_non_speech": "suppress_nst"}
"""Older names."""

FIELDS = (
    FILE,
    *ALIASES,
    *(name for name in Parameters.model_fields if name not in SHAPE_FIELDS),
    *ONLY,
    *SHAPE_FIELDS,
)
