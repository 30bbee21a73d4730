"""Segments become cues that are short enough to be read."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hf_asr_endpoint.subtitles.cues import Cue, CueLimits, make_cues
from hf_asr_endpoint.types import Segment, Word
from tests.fakes import make_segment

LIMITS = CueLimits(max_s=7.0, max_characters=84)
LONG = (
    " And so, my fellow Americans, ask not what your country can do for you. "
    "Ask what you can do for your country, and for the rest of the world as well."
)


def spoken(
    text: str, *, start: float = 0.0, word_s: float = 0.5, pauses: dict[int, float] | None = None
) -> Segment:
    """Return a segment of words of `word_s` seconds each. pauses: seconds before some words, by index."""
    words, now = [], start
    for index, word in enumerate(text.split()):
        now += (pauses or {}).get(index, 0.0)
        words.append(Word(word=f" {word}", start=now, end=now + word_s, probability=1.0))
        now += word_s
    return make_segment(text, start=start, end=now + 1, words=words)


def texts(cues: list[Cue]) -> list[str]:
    return [cue.text.replace("\n", " ") for cue in cues]


def test_a_short_segment_is_one_cue_with_its_own_times() -> None:
    segments = [make_segment(" One two.", start=1.5, end=3.25), make_segment(" Three.", start=3.25, end=4.0)]
    assert make_cues(segments, LIMITS) == [
        Cue(start=1.5, end=3.25, text="One two."),
        Cue(start=3.25, end=4.0, text="Three."),
    ]


def test_times_of_words_replace_those_of_the_segment() -> None:
    (cue,) = make_cues([spoken("one two", start=3.0)], LIMITS)
    assert (cue.start, cue.end) == (3.0, 4.0)


def test_a_long_segment_is_cut_after_a_sentence_at_the_times_of_words() -> None:
    cues = make_cues([spoken(LONG, word_s=0.2)], LIMITS)
    assert texts(cues) == [LONG[: LONG.index(" Ask")].strip(), LONG[LONG.index(" Ask") :].strip()]
    assert (cues[0].start, cues[0].end) == (0.0, pytest.approx(2.8))
    assert cues[1].start == pytest.approx(2.8)


def test_without_punctuation_the_parts_are_balanced() -> None:
    cues = make_cues([spoken("word " * 20, word_s=0.1)], LIMITS)
    assert [len(cue.text) for cue in cues] == [49, 49]


def test_a_long_pause_is_where_a_long_segment_is_cut() -> None:
    cues = make_cues([spoken("one two three four five six", pauses={2: 6.0})], LIMITS)
    assert texts(cues) == ["one two", "three four five six"]
    assert all(cue.end - cue.start <= 7 for cue in cues)


def test_without_words_times_are_in_proportion_to_characters() -> None:
    cues = make_cues([make_segment(" aaaa bbbb cccc dddd", start=10.0, end=20.0)], LIMITS)
    assert [(cue.start, cue.end, cue.text) for cue in cues] == [
        (10.0, 15.0, "aaaa bbbb"),
        (15.0, 20.0, "cccc dddd"),
    ]


@pytest.mark.parametrize("has_words", [False, True])
def test_limits_hold_for_any_text_and_no_word_is_lost(has_words: bool) -> None:
    segment = spoken(LONG * 4, word_s=0.4)
    segments = [segment if has_words else make_segment(segment.text, end=segment.end)]
    for limits in (LIMITS, CueLimits(max_s=2.0, max_characters=30), CueLimits(max_s=600.0, max_characters=20)):
        cues = make_cues(segments, limits)
        assert " ".join(texts(cues)).split() == (LONG * 4).split()
        assert all(cue.end - cue.start <= limits.max_s + 0.001 for cue in cues)
        assert all(len(cue.text) <= limits.max_characters for cue in cues)
        assert all(before.end <= after.start + 1e-9 for before, after in pairwise(cues))


def test_scripts_without_spaces_are_cut_between_characters() -> None:
    cues = make_cues([make_segment("これはとても長い文章です。そして続きがあります。", end=12.0)], LIMITS)
    assert texts(cues) == ["これはとても長い文章です。", "そして続きがあります。"]


@pytest.mark.parametrize("has_words", [False, True])
def test_a_word_longer_than_a_cue_is_cut(has_words: bool) -> None:
    word = Word(word="a" * 200, start=0.0, end=2.0, probability=1.0)
    cues = make_cues([make_segment("a" * 200, end=2.0, words=[word] if has_words else [])], LIMITS)
    assert [len(cue.text) for cue in cues] == [84, 84, 32]
    assert "".join(texts(cues)) == "a" * 200


def test_more_than_half_a_cue_is_shown_on_two_lines() -> None:
    (cue,) = make_cues(
        [make_segment(" This is a line of sixty characters, or at least it is near.", end=5.0)], LIMITS
    )
    assert cue.text.splitlines() == ["This is a line of sixty characters,", "or at least it is near."]


@pytest.mark.parametrize("has_words", [False, True])
def test_a_segment_of_many_words_is_cut(has_words: bool) -> None:
    """Each cut measured all parts for each word: the time grew with the square of the words, to hours."""
    segment = spoken("word, " * 10_000)
    cues = make_cues([segment if has_words else make_segment(segment.text, end=segment.end)], LIMITS)
    assert " ".join(texts(cues)) == segment.text.strip()
    assert all(cue.end - cue.start <= 7.001 and len(cue.text) <= 84 for cue in cues)


def test_much_whitespace_at_the_end_has_no_cue() -> None:
    """The search for words began again at each of the spaces and went to the end each time."""
    (cue,) = make_cues([make_segment("word" + " " * 100_000, end=1.0)], LIMITS)
    assert cue.text == "word"


def test_empty_words_do_not_count_as_words() -> None:
    words = [
        Word(word=text, start=index, end=index + 1, probability=1.0)
        for index, text in enumerate([" one", "", "two", "", "", "three", " ", "four"])
    ]
    (cue,) = make_cues(
        [make_segment("onetwothree four", end=8.0, words=words)], CueLimits(max_s=10, max_characters=17)
    )
    assert cue.text.replace("\n", " ") == "onetwothree four"


@pytest.mark.parametrize("text", ["", "  ", "\n\n"])
def test_a_segment_without_text_has_no_cue(text: str) -> None:
    assert make_cues([make_segment(text, end=30.0)], LIMITS) == []


def test_line_breaks_in_the_text_become_spaces() -> None:
    (cue,) = make_cues([make_segment("a\n\nb\u2028c\r\nd", end=1.0)], LIMITS)
    assert cue.text == "a b c d"
