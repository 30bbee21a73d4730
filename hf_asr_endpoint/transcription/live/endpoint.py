"""When a turn ends. Pure."""

from __future__ import annotations

import math

from hf_asr_endpoint.transcription.live.options import SemanticVad, ServerVad, TurnDetection

MIN_SEMANTIC_SILENCE_S = 0.5  # behind a whole sentence
SENTENCE_ENDS = ".?!。？！।؟"
CLOSING = "\"'”’»)]」』"


def silence_needed_s(detection: TurnDetection, text: str | None) -> float:
    """Return the silence that ends a turn. text: of the turn so far; None while it is not known."""
    match detection:
        case ServerVad():
            return detection.silence_duration_s
        case SemanticVad():
            return MIN_SEMANTIC_SILENCE_S if text and is_whole(text) else detection.max_wait_s
        case None:
            return math.inf


def is_whole(text: str) -> bool:
    """Return whether a text ends as a sentence does, and not as one does that the speaker trails off in."""
    text = text.rstrip().rstrip(CLOSING)
    return text.endswith(tuple(SENTENCE_ENDS)) and not text.endswith("...")
