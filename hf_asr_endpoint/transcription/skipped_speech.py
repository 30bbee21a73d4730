"""Whether a window's text leaves speech out. Knows seconds and text; knows no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.transcription.segments import TimedTokens

MIN_SKIPPED_S = 5.0  # seconds of speech in a segment from which on too little text is suspicious
MIN_SKIPPED_BETWEEN_S = 1.0  # seconds of speech between segments that count as skipped
MIN_BYTES_PER_S = 7.0  # UTF-8 bytes of text per second of speech: half of the usual rate


def skips_speech(
    pieces: Sequence[TimedTokens], speech: Sequence[SpeechSpan], *, decode: Callable[[Sequence[int]], str]
) -> bool:
    """Return whether the model moved on in time without writing what was said: the opposite of a loop.

    pieces, speech: seconds from the window's beginning, in order.
    """
    previous_end_s = 0.0
    for timed in pieces:
        if speech_s(speech, previous_end_s, timed.start) > MIN_SKIPPED_BETWEEN_S:
            return True
        previous_end_s = timed.end
        spoken_s = speech_s(speech, timed.start, previous_end_s)
        if spoken_s >= MIN_SKIPPED_S and len(decode(timed.tokens).encode()) < MIN_BYTES_PER_S * spoken_s:
            return True
    return False


def speech_s(speech: Sequence[SpeechSpan], start_s: float, end_s: float) -> float:
    """Return the seconds of speech between two times."""
    return sum(max(0.0, min(span.end_s, end_s) - max(span.start_s, start_s)) for span in speech)
