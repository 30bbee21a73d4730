"""Sampled tokens to timed pieces of text, and those to segments with reliable times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hf_asr_endpoint.types import DecodedWindow, Segment, TokenLogprob, Word
from hf_asr_endpoint.units import TIME_PRECISION_S

MIN_WORD_S = 0.02
"""Seconds that a word lasts at least: a player skips a word of no length, and an editor cannot select it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTokens:
    """Tokens with the seconds from which to which they were spoken, according to the decoder.

    first: index of the first token among the window's sampled tokens.
    """

    start: float
    end: float
    tokens: tuple[int, ...]
    first: int = 0

    def shifted(self, seconds: float) -> TimedTokens:
        """Return a copy that is `seconds` later."""
        return replace(self, start=self.start + seconds, end=self.end + seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWindow:
    """A window's text. Times are seconds from its beginning.

    unfinished: text after the last timestamp, up to the end of the window, if there is any.
    """

    segments: tuple[TimedTokens, ...]
    unfinished: TimedTokens | None

    @property
    def end_s(self) -> float:
        """Where the last finished segment ends."""
        return self.segments[-1].end if self.segments else 0.0


def split_at_timestamps(tokens: Sequence[int], *, timestamp_begin: int, window_s: float) -> TimedWindow:
    """Split sampled tokens where a segment ends: <|start|> text <|end|><|start|> text <|end|>.

    window_s: seconds of audio in the window; no time is later.
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


class SegmentBuilder:
    """Makes the segments of one chunk, in order: begin <= start <= end, and no start before the previous end.

    Whisper may predict times that go back or that lie in the padding after the audio. Words lie in their segment.
    """

    def __init__(self, *, begin_s: float, end_s: float, decode: Callable[[Sequence[int]], str]) -> None:
        """begin_s, end_s: of the chunk, in seconds from the beginning of the file."""
        # Both are rounded down, so that a chunk's end is never after the next chunk's beginning.
        self._earliest, self._latest = _hundredths(begin_s), _hundredths(end_s)
        self._decode = decode

    def build(
        self,
        timed: TimedTokens,
        window: DecodedWindow,
        *,
        words: Sequence[Word] = (),
        token_logprobs: Sequence[TokenLogprob] = (),
        language: str | None = None,
    ) -> Segment | None:
        """Return the segment; None when it has no text or begins after the audio's end.

        words: their times are clamped to the segment.
        """
        text = self._decode(timed.tokens)
        start = max(round(timed.start, 2), self._earliest)
        if not text.strip() or timed.start >= self._latest or start > self._latest:
            return None
        # By its tokens, not its words: its times must not depend on whether words are wanted.
        shortest = MIN_WORD_S * len(timed.tokens)
        end = min(max(round(timed.end, 2), start + shortest), self._latest)
        start, end = max(min(start, round(end - shortest, 2)), self._earliest), round(end, 2)
        self._earliest = end
        return Segment(
            start=start,
            end=end,
            text=text,
            tokens=timed.tokens,
            window=window,
            words=fit_words(words, start, end),
            token_logprobs=tuple(token_logprobs),
            language=language,
        )


def fit_words(words: Sequence[Word], start: float, end: float) -> tuple[Word, ...]:
    """Return the words between two times, in order and without overlap.

    Each lasts MIN_WORD_S or longer; less where there is no room for all of them. Times are rounded to 0.01 s.
    """
    if not words:
        return ()
    shortest = min(MIN_WORD_S, (end - start) / len(words))
    starts, ends = [], []
    earliest = start
    for word in words:
        starts.append(max(word.start, earliest))
        ends.append(max(word.end, starts[-1] + shortest))
        earliest = ends[-1]
    latest = end
    for index in reversed(range(len(words))):
        ends[index] = min(ends[index], latest)
        starts[index] = min(starts[index], ends[index] - shortest)
        latest = starts[index]
    return tuple(
        replace(word, start=round(word_start, 2), end=round(word_end, 2))
        for word, word_start, word_end in zip(words, starts, ends, strict=True)
    )


def _hundredths(seconds: float) -> float:
    """Round down to 0.01 s, but not because of a binary fraction's rounding error."""
    return math.floor(seconds * 100 + 1e-6) / 100
