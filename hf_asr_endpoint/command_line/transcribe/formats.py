"""A transcription to the text of a file in each format, the same that the server's answers have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hf_asr_endpoint.api.openai.render import render_verbose_json
from hf_asr_endpoint.api.responses import encode_json
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.subtitles.files import CUE_FORMATS, SubtitleFormat, render_subtitles
from hf_asr_endpoint.subtitles.limits import CueLimits, SubtitleShape
from hf_asr_endpoint.types import Transcription

Format = Literal["txt", "json", SubtitleFormat]
FORMATS: tuple[Format, ...] = ("txt", "srt", "vtt", "json", "tsv", "lrc", "ass")
assert set(FORMATS) == set(get_args(Format))


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How files look. shows_words: whether json has the times of words."""

    cue_limits: CueLimits
    shape: SubtitleShape
    shows_words: bool


def parse_formats(text: str) -> tuple[Format, ...]:
    """Return the formats in a list with commas, each once. Raises InvalidParameter."""
    given = [name.strip().lower() for name in text.split(",") if name.strip()]
    formats = tuple(name for name in FORMATS if name in given)
    unknown = [name for name in given if name not in FORMATS]
    if unknown or not formats:
        raise InvalidParameter(f"--format is {text!r}; allowed: one or more of {','.join(FORMATS)}")
    return formats


def needs_words(formats: tuple[Format, ...], *, shows_words: bool) -> bool:
    """Return whether the times of words are needed: cues are cut between words."""
    return shows_words or any(name in CUE_FORMATS for name in formats)


def render(transcription: Transcription, name: Format, look: Look) -> str:
    """Return the content of a file. json is OpenAI's verbose_json."""
    match name:
        case "txt":
            return transcription.text + "\n"
        case "json":
            body = render_verbose_json(transcription, shows_segments=True, shows_words=look.shows_words)
            return encode_json(body).decode() + "\n"
        case _:
            return render_subtitles(transcription, name, look.cue_limits, look.shape)
