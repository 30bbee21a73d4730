"""Fits the times of decoded text to the speech that was detected. Knows seconds; knows no tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.transcription.segments import TimedTokens
from hf_asr_endpoint.transcription.words import MIN_TOKEN_S

EDGE_S = 0.1  # seconds before and after a span that may still be speech: breath, and quiet consonants


def fit_to_speech(
    pieces: Sequence[TimedTokens], speech: Sequence[SpeechSpan], *, end_s: float
) -> list[TimedTokens | None]:
    """Return each piece from where speech begins in it to where it ends; None for text without speech.

    The decoder often lets a segment begin or end in silence. A segment that lies in silence altogether belongs to
    the speech between its neighbours, and where there is none, nobody said it. Pieces are returned unchanged if
    they have too much text for the speech: some of it was not detected, as in singing.
    pieces, speech: seconds from the same beginning, in order. end_s: where the audio ends.
    """
    n_tokens = sum(len(piece.tokens) for piece in pieces)
    if speech and speech[-1].end_s - speech[0].start_s < n_tokens * MIN_TOKEN_S:
        return list(pieces)
    fitted: list[TimedTokens | None] = []
    for index, piece in enumerate(pieces):
        previous_end_s = pieces[index - 1].end if index else 0.0
        next_start_s = pieces[index + 1].start if index + 1 < len(pieces) else end_s
        times = _speech_in(speech, piece.start, piece.end) or _speech_in(speech, previous_end_s, next_start_s)
        fitted.append(None if times is None else replace(piece, start=times[0], end=times[1]))
    return fitted


def _speech_in(speech: Sequence[SpeechSpan], start_s: float, end_s: float) -> tuple[float, float] | None:
    """Return the first and last time of speech between two times, which it keeps."""
    inside = [span for span in speech if span.end_s > start_s and span.start_s < end_s]
    if not inside:
        return None
    return max(start_s, inside[0].start_s - EDGE_S), min(end_s, inside[-1].end_s + EDGE_S)
