from __future__ import annotations

import pytest

from bench.word_times import TimedWord, WordError, summarise, word_errors


def word(text: str, start: float, end: float) -> TimedWord:
    return TimedWord(text=text, start=start, end=end)


def test_errors_are_signed_and_words_match_without_case_and_punctuation() -> None:
    (error,) = word_errors([word("Hello", 1.0, 2.0)], [word(" hello,", 0.75, 2.5)])
    assert error == WordError(start_ms=-250.0, end_ms=500.0)


def test_the_closest_of_equal_words_counts() -> None:
    found = [word(" no", 0.0, 0.5), word(" no", 3.0, 3.5)]
    (error,) = word_errors([word("no", 2.75, 3.5)], found)
    assert error == WordError(start_ms=250.0, end_ms=0.0)


def test_words_that_were_not_found_are_skipped() -> None:
    assert word_errors([word("yes", 0.0, 1.0)], [word(" no", 0.0, 1.0)]) == []


def test_a_summary_has_absolute_errors() -> None:
    summary = summarise([*range(-10, -5), *range(1, 5), 300.0])
    assert (summary.median_ms, summary.p90_ms, summary.close_percent) == (pytest.approx(6.5), 300.0, 90.0)
