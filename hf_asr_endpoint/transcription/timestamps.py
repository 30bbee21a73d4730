"""Timestamp tokens to timed pieces of text, and to where the next window begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hf_asr_endpoint.transcription.segments import TimedTokens
from hf_asr_endpoint.units import TIME_PRECISION_S


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWindow:
    """A window's text. Times are seconds from its beginning.

    unfinished: text after the last timestamp, up to the end of the window; None when there is none.
    """

    segments: tuple[TimedTokens, ...]
    unfinished: TimedTokens | None

    @property
    def end_s(self) -> float:
        """Where the last finished segment ends."""
        return self.segments[-1].end if self.segments else 0.0


def split_at_timestamps(tokens: Sequence[int], *, timestamp_begin: int, window_s: float) -> TimedWindow:
    """Split sampled tokens where a segment ends: <|start|> text <|end|><|start|> text <|end|>.

    window_s: seconds of audio in the window, which no time lies behind.
    """
    segments: list[TimedTokens] = []
    start_s, begin = 0.0, 0

    def piece(end: int, end_s: float) -> TimedTokens:
        return TimedTokens(start=start_s, end=max(end_s, start_s), tokens=tuple(tokens[begin:end]), first=begin)

    has_text = False
    for index, token in enumerate(tokens):
        if token < timestamp_begin:
            has_text = True
            continue
        time_s = min((token - timestamp_begin) * TIME_PRECISION_S, window_s)
        if has_text:
            segments.append(piece(index + 1, time_s))
            begin = index + 1
        else:
            begin = index
        start_s, has_text = time_s, False
    unfinished = piece(len(tokens), window_s) if has_text else None
    return TimedWindow(segments=tuple(segments), unfinished=unfinished)
