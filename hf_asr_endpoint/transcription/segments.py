"""Decoded token runs to segments whose times can be relied on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hf_asr_endpoint.types import DecodedWindow, Segment, TokenLogprob, Word


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTokens:
    """What the decoder says was spoken from `start` to `end`.

    first: where in its window's sampled tokens the first one of `tokens` is.
    """

    start: float
    end: float
    tokens: tuple[int, ...]
    first: int = 0

    def later(self, seconds: float) -> TimedTokens:
        """Return the same, so much later."""
        return replace(self, start=self.start + seconds, end=self.end + seconds)


class SegmentBuilder:
    """Makes segments of one stretch of audio, in order: begin <= start <= end, none before another's end.

    Whisper may give times that go back, or that lie in the padding behind the audio. Words lie in their segment.
    """

    def __init__(self, *, begin_s: float, end_s: float, decode: Callable[[Sequence[int]], str]) -> None:
        """begin_s, end_s: of the stretch, in seconds from the beginning of the file."""
        # Rounded down both, so that one stretch's end is never behind the next one's beginning.
        self._earliest, self._latest = _hundredths(begin_s), _hundredths(end_s)
        self._decode = decode

    def build(
        self,
        timed: TimedTokens,
        window: DecodedWindow,
        *,
        words: Sequence[Word] = (),
        token_logprobs: Sequence[TokenLogprob] = (),
    ) -> Segment | None:
        """Return the segment; None when it has no text, or begins where the audio has ended.

        words: with the times that they seem to have, of which those outside the segment move to its ends.
        """
        text = self._decode(timed.tokens)
        start = max(round(timed.start, 2), self._earliest)
        if not text.strip() or timed.start >= self._latest or start > self._latest:
            return None
        end = min(max(round(timed.end, 2), start), self._latest)
        self._earliest = end
        return Segment(
            start=start,
            end=end,
            text=text,
            tokens=timed.tokens,
            window=window,
            words=tuple(_inside(word, start, end) for word in words),
            token_logprobs=tuple(token_logprobs),
        )


def _inside(word: Word, start: float, end: float) -> Word:
    begins, ends = (min(max(round(time, 2), start), end) for time in (word.start, word.end))
    return replace(word, start=begins, end=ends)


def _hundredths(seconds: float) -> float:
    """Round down, but not for what is only the error of a binary fraction."""
    return math.floor(seconds * 100 + 1e-6) / 100
