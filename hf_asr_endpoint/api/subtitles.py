"""What dialects share about subtitles: the fields that give them a shape, and the media types of files.

The fields have openai/whisper's names and meanings (`whisper/utils.py`, `SubtitlesWriter`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from hf_asr_endpoint.api.texts import PlainNumber
from hf_asr_endpoint.errors import UnsupportedValue
from hf_asr_endpoint.subtitles.files import CUE_FORMATS, MARKING_FORMATS
from hf_asr_endpoint.subtitles.limits import (
    MAX_LINE_COUNT,
    MAX_LINE_WIDTH,
    MAX_WORDS_PER_LINE,
    SubtitleShape,
)

MEDIA_TYPES = {
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "ass": "text/x-ssa; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
}
"""Of text formats other than plain text."""


class ShapeFields(BaseModel):
    """The fields of a request that shape its subtitles, for pydantic models of a dialect's parameters."""

    max_line_width: Annotated[int, PlainNumber] | None = Field(
        None, ge=1, le=MAX_LINE_WIDTH, description=f"a whole number from 1 to {MAX_LINE_WIDTH}"
    )
    max_line_count: Annotated[int, PlainNumber] | None = Field(
        None, ge=1, le=MAX_LINE_COUNT, description=f"a whole number from 1 to {MAX_LINE_COUNT}"
    )
    max_words_per_line: Annotated[int, PlainNumber] | None = Field(
        None, ge=1, le=MAX_WORDS_PER_LINE, description=f"a whole number from 1 to {MAX_WORDS_PER_LINE}"
    )
    highlight_words: bool = Field(False, description="true or false")

    def shape(self, response_format: str, *, name: str) -> SubtitleShape:
        """Return the shape of the response's subtitles. Raises UnsupportedValue for a format that has none.

        name: of the parameter that chose the format.
        """
        given = [field for field in SHAPE_FIELDS if getattr(self, field)]
        if given and response_format not in CUE_FORMATS:
            raise UnsupportedValue(
                f"{name} is {response_format}, which {given[0]} does not shape; "
                f"allowed with {given[0]}: {', '.join(CUE_FORMATS)}",
                parameter=name,
            )
        if self.highlight_words and response_format not in MARKING_FORMATS:
            raise UnsupportedValue(
                f"{name} is {response_format}, which cannot mark words; "
                f"allowed with highlight_words: {', '.join(MARKING_FORMATS)}",
                parameter=name,
            )
        return SubtitleShape(**{field: getattr(self, field) for field in SHAPE_FIELDS})


SHAPE_FIELDS = tuple(ShapeFields.model_fields)
