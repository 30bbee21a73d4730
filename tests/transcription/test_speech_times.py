"""Times of segments, fitted to the speech that was detected."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.transcription.segments import TimedTokens
from hf_asr_endpoint.transcription.speech_times import EDGE_S, fit_to_speech

Times = tuple[float, float]


def fit(pieces: list[Times], speech: list[Times], *, end_s: float = 30.0) -> list[Times | None]:
    timed = [TimedTokens(start=start, end=end, tokens=(1,)) for start, end in pieces]
    spans = [SpeechSpan(start_s=start, end_s=end) for start, end in speech]
    return [
        None if piece is None else (piece.start, piece.end) for piece in fit_to_speech(timed, spans, end_s=end_s)
    ]


@pytest.mark.parametrize(
    ("pieces", "speech", "expected"),
    [
        pytest.param([(1, 2)], [(0, 5)], [(1, 2)], id="inside speech"),
        pytest.param([(0, 8)], [(3, 5)], [(3 - EDGE_S, 5 + EDGE_S)], id="begins and ends in silence"),
        pytest.param([(0, 9)], [(1, 2), (6, 8)], [(1 - EDGE_S, 8 + EDGE_S)], id="a pause inside"),
        pytest.param([(0, 2), (2, 4)], [(0, 2), (5, 7)], [(0, 2), (5 - EDGE_S, 7 + EDGE_S)], id="too early"),
        pytest.param([(0, 2), (3, 4), (5, 7)], [(0, 2), (5, 7)], [(0, 2), None, (5, 7)], id="nobody said it"),
        pytest.param([(0, 2)], [], [None], id="no speech"),
        pytest.param([], [(0, 2)], [], id="no text"),
    ],
)
def test_a_segment_begins_and_ends_where_the_speech_is(
    pieces: list[Times], speech: list[Times], expected: list[Times | None]
) -> None:
    assert fit(pieces, speech) == expected
