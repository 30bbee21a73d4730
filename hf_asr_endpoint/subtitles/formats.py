"""Cues to the text of a subtitle file. Times have hours, of two digits or more, and milliseconds."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hf_asr_endpoint.subtitles.cues import Cue

_ARROW = re.compile("(?<!-)-{2,}+>")  # Each run of dashes is searched once, so that the time is linear.


def render_srt(cues: Iterable[Cue]) -> str:
    """Return a SubRip file. It has no escapes, so an arrow in a text, which could end the cue, is shortened."""
    return "".join(
        f"{number}\n{_times(cue, decimal_sign=',')}\n{_ARROW.sub('->', cue.text)}\n\n"
        for number, cue in enumerate(cues, start=1)
    )


def render_vtt(cues: Iterable[Cue]) -> str:
    """Return a WebVTT file in the layout of OpenAI's whisper-1. Source: https://www.w3.org/TR/webvtt1/"""
    return "WEBVTT\n\n" + "".join(f"{_times(cue, decimal_sign='.')}\n{_escape(cue.text)}\n\n" for cue in cues)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _times(cue: Cue, *, decimal_sign: str) -> str:
    start = round(cue.start * 1000)
    # WebVTT requires that a cue ends after its beginning.
    end = max(round(cue.end * 1000), start + 1)
    return f"{_clock(start, decimal_sign)} --> {_clock(end, decimal_sign)}"


def _clock(milliseconds: int, decimal_sign: str) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{decimal_sign}{milliseconds:03}"
