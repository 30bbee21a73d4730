"""Subtitle files by the names of their formats: what the dialects and the command line share."""

from __future__ import annotations

from typing import Literal, get_args

from hf_asr_endpoint.subtitles.cues import Cue, make_cues
from hf_asr_endpoint.subtitles.formats import render_ass, render_lrc, render_srt, render_tsv, render_vtt
from hf_asr_endpoint.subtitles.limits import CueLimits, SubtitleShape
from hf_asr_endpoint.types import Transcription

CueFormat = Literal["srt", "vtt", "ass", "lrc"]
SubtitleFormat = Literal[CueFormat, "tsv"]

CUE_FORMATS: tuple[CueFormat, ...] = get_args(CueFormat)
"""Formats of cues, which a request can shape. They need the times of words."""

SUBTITLE_FORMATS: tuple[SubtitleFormat, ...] = (*CUE_FORMATS, "tsv")

MARKING_FORMATS = ("srt", "vtt", "ass")
"""Formats that can mark a word."""

_RENDERERS = {"srt": render_srt, "vtt": render_vtt, "ass": render_ass, "lrc": render_lrc}


def render_subtitles(
    transcription: Transcription, response_format: SubtitleFormat, limits: CueLimits, shape: SubtitleShape
) -> str:
    """Return the file. limits: the server's."""
    if response_format == "tsv":
        return render_tsv(transcription.segments)
    cues: list[Cue] = make_cues(transcription.segments, limits, shape)
    return _RENDERERS[response_format](cues)
