"""Cues to the text of a subtitle file, and segments to the lines of a table.

Formats that are written for each cue take cues; tsv is openai/whisper's table of segments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from hf_asr_endpoint.subtitles.breaks import join_lines
from hf_asr_endpoint.subtitles.cues import Cue
from hf_asr_endpoint.types import Segment

_ARROW = re.compile("(?<!-)-{2,}+>")  # Each run of dashes is searched once, so that the time is linear.

_WORD_JOINER = "\u2060"  # It has no width. In ass, no character after a backslash is then taken for a tag.

_ASS_UNDERLINE = ("{\\u1}", "{\\u0}")
_ASS_STYLE = (  # names and values
    "Name Fontname Fontsize PrimaryColour SecondaryColour OutlineColour BackColour Bold Italic Underline "
    "StrikeOut ScaleX ScaleY Spacing Angle BorderStyle Outline Shadow Alignment MarginL MarginR MarginV Encoding",
    "Default Arial 60 &H00FFFFFF &H000000FF &H00000000 &H80000000 0 0 0 0 100 100 0 0 1 3 1 2 60 60 50 1",
)
_ASS_HEADER = f"""[Script Info]
ScriptType: v4.00+
WrapStyle: 2
ScaledBorderAndShadow: yes
PlayResX: 1920
PlayResY: 1080

[V4+ Styles]
Format: {", ".join(_ASS_STYLE[0].split())}
Style: {",".join(_ASS_STYLE[1].split())}

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def render_srt(cues: Iterable[Cue]) -> str:
    """Return a SubRip file. It has no escapes, so an arrow in a text, which could end the cue, is shortened."""
    return "".join(
        f"{number}\n{_times(cue, decimal_sign=',')}\n{_marked(cue, _shorten_arrows, '<u>', '</u>')}\n\n"
        for number, cue in enumerate(cues, start=1)
    )


def render_vtt(cues: Iterable[Cue]) -> str:
    """Return a WebVTT file in the layout of OpenAI's whisper-1. Source: https://www.w3.org/TR/webvtt1/"""
    return "WEBVTT\n\n" + "".join(
        f"{_times(cue, decimal_sign='.')}\n{_marked(cue, _escape_markup, '<u>', '</u>')}\n\n" for cue in cues
    )


def render_ass(cues: Iterable[Cue]) -> str:
    """Return an Advanced SubStation Alpha file, with one style: white, at the bottom.

    Source: http://www.tcax.org/docs/ass-specs.htm
    """
    lines = [
        f"Dialogue: 0,{_ass_clock(start)},{_ass_clock(end)},Default,,0,0,0,,"
        f"{_marked(cue, _escape_ass, *_ASS_UNDERLINE)}\n"
        for cue in cues
        for start, end in [_interval(cue, per_s=100)]
    ]
    return _ASS_HEADER + "".join(lines)


def render_lrc(cues: Iterable[Cue]) -> str:
    """Return a file of lyrics: a line for each cue, with the time at which it begins.

    Source: https://en.wikipedia.org/wiki/LRC_(file_format)
    """
    lines = []
    for cue in cues:
        seconds, hundredths = divmod(round(cue.start * 100), 100)
        text = join_lines(cue.text)
        # A text that begins with a bracket would be taken for another time, or for a tag.
        space = " " if text.startswith("[") else ""
        lines.append(f"[{seconds // 60:02}:{seconds % 60:02}.{hundredths:02}]{space}{text}\n")
    return "".join(lines)


def render_tsv(segments: Iterable[Segment]) -> str:
    """Return openai/whisper's table: a line for each segment, with its times in milliseconds.

    Source: `WriteTSV` in `whisper/utils.py`.
    """
    rows = (
        f"{round(segment.start * 1000)}\t{round(segment.end * 1000)}\t{' '.join(segment.text.split())}\n"
        for segment in segments
    )
    return "start\tend\ttext\n" + "".join(rows)


def _marked(cue: Cue, escape: Callable[[str], str], begin: str, end: str) -> str:
    """Return the text with the part that is being said between `begin` and `end`."""
    if cue.marked is None:
        return escape(cue.text)
    first, last = cue.marked
    return f"{escape(cue.text[:first])}{begin}{escape(cue.text[first:last])}{end}{escape(cue.text[last:])}"


def _shorten_arrows(text: str) -> str:
    return _ARROW.sub("->", text)


def _escape_markup(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escape_ass(text: str) -> str:
    text = text.replace("\\", f"\\{_WORD_JOINER}").replace("{", "\\{").replace("}", "\\}")
    return text.replace("\n", "\\N")


def _interval(cue: Cue, *, per_s: int) -> tuple[int, int]:
    """Return the times in units. WebVTT requires that a cue ends after its beginning."""
    start = round(cue.start * per_s)
    return start, max(round(cue.end * per_s), start + 1)


def _times(cue: Cue, *, decimal_sign: str) -> str:
    start, end = _interval(cue, per_s=1000)
    return f"{_clock(start, decimal_sign)} --> {_clock(end, decimal_sign)}"


def _clock(milliseconds: int, decimal_sign: str) -> str:
    """Return hours, of two digits or more, minutes, seconds and milliseconds."""
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{decimal_sign}{milliseconds:03}"


def _ass_clock(hundredths: int) -> str:
    seconds, hundredths = divmod(hundredths, 100)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}.{hundredths:02}"
