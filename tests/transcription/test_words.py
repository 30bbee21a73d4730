"""When words are spoken: from their tokens' times, pauses and segments."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.transcription.segments import SegmentBuilder, TimedTokens
from hf_asr_endpoint.transcription.word_split import WordTokens
from hf_asr_endpoint.transcription.words import Pause, time_words
from hf_asr_endpoint.types import DecodedWindow, Word
from hf_asr_endpoint.whisper.alignment.timing import TimedToken

WINDOW = DecodedWindow(start=0, temperature=0, avg_logprob=0, compression_ratio=1, no_speech_prob=0)


def token(start: float, end: float, *, peak: float | None = None, probability: float = 1.0) -> TimedToken:
    """Return a token whose attention is in its middle."""
    return TimedToken(
        start=start, end=end, peak=(start + end) / 2 if peak is None else peak, probability=probability
    )


def words(*lengths: tuple[int, int]) -> list[WordTokens]:
    """Return words, each as (number of tokens, number of its first tokens that are spoken)."""
    made, begin = [], 0
    for n_tokens, n_spoken in lengths:
        made.append(
            WordTokens(
                text=f" w{len(made)}",
                tokens=range(begin, begin + n_tokens),
                spoken=range(begin, begin + n_spoken),
            )
        )
        begin += n_tokens
    return made


def spans(found: list[Word]) -> list[tuple[float, float]]:
    return [(word.start, word.end) for word in found]


ONE_AFTER_THE_OTHER = [token(0.0, 1.0), token(1.0, 1.5), token(1.5, 2.0), token(2.0, 3.0)]


def test_words_last_from_their_first_token_to_their_last() -> None:
    found = time_words(words((1, 1), (2, 2), (1, 1)), ONE_AFTER_THE_OTHER, [])
    assert spans(found) == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    assert [word.word for word in found] == [" w0", " w1", " w2"]


def test_punctuation_has_no_time_and_no_probability() -> None:
    tokens = [token(0.0, 0.6, probability=0.5), token(0.6, 1.0, probability=0.7), token(1.0, 2.0, probability=0.1)]
    (word,) = time_words(words((3, 2)), tokens, [])
    assert (word.start, word.end) == (0.0, 1.0)
    assert word.probability == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        pytest.param([(0.8, 1.2)], [(0.0, 0.8), (1.2, 2.0)], id="around the boundary"),
        pytest.param([(1.0, 1.3)], [(0.0, 1.0), (1.3, 2.0)], id="the second begins too early"),
        pytest.param([(0.7, 1.0)], [(0.0, 0.7), (1.0, 2.0)], id="the first lasts too long"),
        pytest.param([(0.6, 0.8)], [(0.0, 0.6), (1.0, 2.0)], id="before the boundary"),
        pytest.param([(1.1, 1.4)], [(0.0, 1.0), (1.4, 2.0)], id="behind the boundary"),
        pytest.param([(0.6, 0.7), (0.9, 1.1), (1.2, 1.3)], [(0.0, 0.6), (1.3, 2.0)], id="three"),
        pytest.param([(0.1, 0.3)], [(0.0, 1.0), (1.0, 2.0)], id="within the first"),
        pytest.param([(1.6, 1.9)], [(0.0, 1.0), (1.0, 2.0)], id="within the second"),
        pytest.param([(0.6, 2.3)], [(0.0, 0.6), (2.0, 2.0)], id="as long as the second"),
        pytest.param([(-0.5, 1.9)], [(0.0, 0.0), (1.9, 2.0)], id="as long as the first"),
        pytest.param([], [(0.0, 1.0), (1.0, 2.0)], id="none"),
    ],
)
def test_no_word_reaches_into_a_pause_between_two(
    pauses: list[tuple[float, float]], expected: list[tuple[float, float]]
) -> None:
    found = time_words(
        words((1, 1), (1, 1)),
        [token(0.0, 1.0), token(1.0, 2.0)],
        [Pause(start=start, end=end) for start, end in pauses],
    )
    assert spans(found) == expected


def test_the_attention_peak_decides_which_words_a_pause_is_between() -> None:
    tokens = [token(0.0, 1.0, peak=0.5), token(1.0, 3.0, peak=2.6)]
    found = time_words(words((1, 1), (1, 1)), tokens, [Pause(start=1.6, end=2.4)])
    assert spans(found) == [(0.0, 1.0), (2.4, 3.0)]


def test_no_words() -> None:
    assert time_words([], [], []) == []


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param(2.5, 3.0, (2.5, 3.0), id="inside"),
        pytest.param(1.5, 3.0, (2.0, 3.0), id="begins before"),
        pytest.param(3.0, 4.5, (3.0, 4.0), id="ends behind"),
        pytest.param(0.5, 1.0, (2.0, 2.02), id="before"),
        pytest.param(6.0, 7.0, (3.98, 4.0), id="behind"),
        pytest.param(2.514999, 3.0000001, (2.51, 3.0), id="rounded"),
    ],
)
def test_words_lie_in_their_segment(start: float, end: float, expected: tuple[float, float]) -> None:
    builder = SegmentBuilder(begin_s=0.0, end_s=10.0, decode=lambda tokens: " one")
    segment = builder.build(
        TimedTokens(start=2.0, end=4.0, tokens=(1,)),
        WINDOW,
        words=[Word(word=" one", start=start, end=end, probability=1.0)],
    )
    assert segment is not None
    assert (segment.start, segment.end) == (2.0, 4.0), "a word does not move its segment"
    assert spans(list(segment.words)) == [expected]
