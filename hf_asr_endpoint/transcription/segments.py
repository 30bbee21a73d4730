"""Decoded token runs to segments whose times can be relied on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hf_asr_endpoint.types import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTokens:
    """What the decoder says was spoken from `start` to `end`, in seconds from the file's beginning."""

    start: float
    end: float
    tokens: tuple[int, ...]

    def later(self, seconds: float) -> TimedTokens:
        """Return the same, so much later."""
        return TimedTokens(start=self.start + seconds, end=self.end + seconds, tokens=self.tokens)


def build_segments(
    timed_tokens: Iterable[TimedTokens], *, duration_s: float, decode: Callable[[Sequence[int]], str]
) -> tuple[Segment, ...]:
    """Return segments with 0 <= start <= end <= duration_s, none of which begins before another's end.

    Whisper may give times that go back, or that lie in the padding behind the audio. Segments without
    text are left out, and so is what begins where the audio has ended: it was heard in the padding.
    """
    segments: list[Segment] = []
    earliest = 0.0
    for timed in timed_tokens:
        text = decode(timed.tokens)
        if not text.strip() or timed.start >= duration_s:
            continue
        start = min(max(round(timed.start, 2), earliest), duration_s)
        end = min(max(round(timed.end, 2), start), duration_s)
        segments.append(Segment(start=start, end=end, text=text, tokens=timed.tokens))
        earliest = end
    return tuple(segments)
