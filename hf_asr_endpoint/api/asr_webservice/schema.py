"""The query string's fields with their types and defaults. Each field's description says what is allowed."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from hf_asr_endpoint.api.plain_fields import FALSE
from hf_asr_endpoint.api.subtitles import SHAPE_FIELDS, ShapeFields
from hf_asr_endpoint.api.texts import PROMPT_ALLOWED, Prompt
from hf_asr_endpoint.subtitles.files import SubtitleFormat
from hf_asr_endpoint.types import Task

AUDIO_FILE = "audio_file"
"""The part with the file."""

Output = Literal["txt", "json", SubtitleFormat]

ONLY = {
    "diarize": (FALSE, "speakers are not distinguished"),
    "min_speakers": ((), "speakers are not distinguished"),
    "max_speakers": ((), "speakers are not distinguished"),
}
"""Fields that only have values that change nothing, and why. See `plain_fields.check_only`."""


class Parameters(ShapeFields):
    """The fields of `/asr` but those in ONLY. The formats ass and lrc, and those of ShapeFields are extensions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encode: bool = Field(True, description="true, or false for 16-bit samples without a header, at 16,000 Hz")
    task: Task = Field("transcribe", description="transcribe or translate")
    language: str | None = Field(None, description='a language code ("de") or English name ("german")')
    initial_prompt: Prompt | None = Field(None, description=PROMPT_ALLOWED)
    vad_filter: bool = Field(False, description="true or false")
    """Changes nothing: silence is always left out, and speech never is."""
    word_timestamps: bool = Field(False, description="true or false")
    output: Output = Field("txt", description="txt, vtt, srt, tsv, json, ass or lrc")


FIELDS = (*(name for name in Parameters.model_fields if name not in SHAPE_FIELDS), *ONLY, *SHAPE_FIELDS)

DETECTION_FIELDS = ("encode",)
