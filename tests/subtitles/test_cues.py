"""Segments become cues that are short enough to be read."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hf_asr_endpoint.composition import cue_limits
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.subtitles.cues import Cue, make_cues
from hf_asr_endpoint.subtitles.limits import CueLimits, SubtitleShape
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
    segments = [make_segment(" One two.", start=1.5, end=3.25), make_segment(" Three.", start=3.25, end=4.25)]
    assert make_cues(segments, LIMITS) == [
        Cue(start=1.5, end=3.25, text="One two."),
        Cue(start=3.25, end=4.25, text="Three."),
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


ENGLISH = (
    " The quick brown fox jumps over the extraordinarily long, uninterruptible fence at Westminster Abbey and "
    "then, having thought about it for some considerable time, decides to go back where it came from: the forest."
)
CHINESE = "中华人民共和国成立于一九四九年,首都是北京。你好,世界!这是一个很长的句子，没有空格，但是有标点符号。"
JAPANESE = (
    "「今日はとても天気がいいですね。」と彼は言った。コンピューターのキーボードを買ってきょうは学校へ行った。"
)
MIXED = "我昨天在 Apple Store 买了一台 MacBook Pro，价格是 £13.60，还有600,000个 MS-13 的零件，然后就回家了。"
KOREAN = " 대한민국은 민주공화국이다 대한민국의 주권은 국민에게 있고 모든 권력은 국민으로부터 나온다 그래서 우리는"
THAI = "ประเทศไทยมีกรุงเทพมหานครเป็นเมืองหลวงและมีประชากรประมาณเจ็ดสิบล้านคนและมีภาษาไทยเป็นภาษาราชการ"

KINSOKU = "、。，．,.！？!?」』）)ーっゃゅょァィゥェォッャュョ々：；:;"
OPENING = "「『（(《"


@pytest.mark.parametrize("has_words", [False, True])
@pytest.mark.parametrize("text", [ENGLISH, ENGLISH[3:], ENGLISH[17:] * 2, LONG, LONG * 3])
def test_no_line_has_more_than_42_characters(text: str, has_words: bool) -> None:
    segment = spoken(text, word_s=0.15)
    cues = make_cues([segment if has_words else make_segment(text, end=segment.end)], CueLimits())
    assert all(len(line) <= 42 for cue in cues for line in cue.text.splitlines())
    assert all(len(cue.text.splitlines()) <= 2 for cue in cues)
    assert " ".join(texts(cues)).split() == text.split()


def test_a_cue_whose_spaces_allow_no_two_lines_is_cut() -> None:
    """It had 84 characters or fewer, so that it stayed whole, with a line of 50."""
    text = f" {'a' * 30} {'b' * 20} {'c' * 30}"
    cues = make_cues([make_segment(text, end=5.0)], CueLimits())
    assert max(len(line) for cue in cues for line in cue.text.splitlines()) <= 42


def test_a_word_longer_than_a_line_has_its_own() -> None:
    url = "https://example.com/a-path-that-is-longer-than-a-line"
    (cue,) = make_cues([make_segment(f" See {url}", end=5.0)], CueLimits())
    assert cue.text.splitlines() == ["See", url]


def characters_of(text: str) -> Segment:
    """Return a segment whose words are characters, as openai/whisper's are in Chinese and Japanese."""
    words = [
        Word(word=character, start=index * 0.1, end=index * 0.1 + 0.1, probability=1.0)
        for index, character in enumerate(text)
    ]
    return make_segment(text, end=len(text) * 0.1, words=words)


@pytest.mark.parametrize("has_words", [False, True])
@pytest.mark.parametrize("text", [CHINESE, JAPANESE, MIXED, CHINESE * 5, JAPANESE * 5])
def test_chinese_and_japanese_lines_are_broken_between_characters(text: str, has_words: bool) -> None:
    segment = characters_of(text)
    cues = make_cues([segment if has_words else make_segment(text, end=segment.end)], CueLimits())
    lines = [line for cue in cues for line in cue.text.splitlines()]
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(sum(1 for character in line if character > "\u2e80") <= 16 and len(line) <= 42 for line in lines)
    assert not [line for line in lines if line[0] in KINSOKU]
    assert not [line for line in lines if line[-1] in OPENING]
    assert len(lines) <= len(text) / 16 * 2.5 + 1  # not shorter than they need to be


@pytest.mark.parametrize("has_words", [False, True])
def test_latin_words_and_numbers_in_chinese_are_never_broken(has_words: bool) -> None:
    segment = characters_of(MIXED * 4)
    cues = make_cues([segment if has_words else make_segment(segment.text, end=segment.end)], CueLimits())
    lines = [line for cue in cues for line in cue.text.splitlines()]
    for whole in ("Apple", "MacBook", "£13.60", "600,000", "MS-13"):
        assert sum(line.count(whole) for line in lines) == 4


def test_korean_is_broken_at_spaces_only_with_16_characters_in_a_line() -> None:
    cues = make_cues([make_segment(KOREAN, end=20.0)], CueLimits())
    lines = [line for cue in cues for line in cue.text.splitlines()]
    assert " ".join(lines).split() == KOREAN.split()
    assert all(len(line.replace(" ", "")) <= 16 for line in lines)


def test_thai_is_broken_between_syllables() -> None:
    cues = make_cues([make_segment(THAI, end=10.0)], CueLimits())
    lines = [line for cue in cues for line in cue.text.splitlines()]
    assert "".join(lines) == THAI
    assert all(len(line) <= 42 for line in lines)
    assert not [line for line in lines if line[0] in "ะาำิีึืุูั่้๊๋์" or line[-1] in "เแโใไ"]


def test_lines_keep_the_limit_of_fullwidth_characters() -> None:
    limits = CueLimits(max_fullwidth_characters=26)
    cues = make_cues([make_segment(JAPANESE, end=20.0)], limits)
    assert all(len(line) <= 13 for cue in cues for line in cue.text.splitlines())


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param([(0.0, 0.24), (5.0, 6.0)], [0.8, 6.0], id="there is room"),
        pytest.param([(0.0, 0.24), (0.5, 1.5)], [0.5, 1.5], id="until the next cue"),
        pytest.param([(0.0, 0.24), (0.24, 1.5)], [0.24, 1.5], id="no room"),
        pytest.param([(0.0, 0.24)], [0.8], id="the last one"),
        pytest.param([(0.0, 0.9), (0.5, 1.5)], [0.9, 1.5], id="an overlap stays"),
    ],
)
def test_a_short_cue_stays_until_the_next_one(times: list[tuple[float, float]], expected: list[float]) -> None:
    segments = [make_segment(" Yes.", start=start, end=end) for start, end in times]
    assert [cue.end for cue in make_cues(segments, CueLimits())] == expected


@pytest.mark.parametrize("has_words", [False, True])
@pytest.mark.parametrize(
    ("shape", "n_lines", "width", "n_words"),
    [
        (SubtitleShape(max_line_width=20), 2, 20, 99),
        (SubtitleShape(max_line_count=1), 1, 42, 99),
        (SubtitleShape(max_line_width=15, max_line_count=3), 3, 15, 99),
        (SubtitleShape(max_words_per_line=3), 1, 42, 3),
        (SubtitleShape(max_words_per_line=2, max_line_count=2), 2, 42, 2),
        (SubtitleShape(max_words_per_line=4, max_line_width=18), 2, 18, 4),
    ],
)
def test_a_request_has_its_own_shape(
    shape: SubtitleShape, n_lines: int, width: int, n_words: int, has_words: bool
) -> None:
    segment = spoken(LONG, word_s=0.3)
    segments = [segment if has_words else make_segment(LONG, end=segment.end)]
    cues = make_cues(segments, CueLimits(), shape)
    lines = [line for cue in cues for line in cue.text.splitlines()]
    assert " ".join(lines).split() == LONG.split()
    assert max(len(cue.text.splitlines()) for cue in cues) == n_lines
    assert max(map(len, lines)) <= width
    assert max(len(line.split()) for line in lines) <= n_words


def test_words_per_line_are_counted_from_the_first_word_as_in_openai_whisper() -> None:
    cues = make_cues([spoken("a b c d e f g h i j")], CueLimits(), SubtitleShape(max_words_per_line=4))
    assert texts(cues) == ["a b c d", "e f g h", "i j"]


def test_each_word_is_marked_while_it_is_spoken() -> None:
    segment = spoken("one two three", pauses={1: 0.5})
    cues = make_cues([segment], CueLimits(), SubtitleShape(highlight_words=True))
    assert [(cue.start, cue.end, cue.marked and cue.text[slice(*cue.marked)]) for cue in cues] == [
        (0.0, 0.5, "one"),
        (0.5, 1.0, None),
        (1.0, 1.5, "two"),
        (1.5, 2.0, "three"),
    ]
    assert {cue.text for cue in cues} == {"one two three"}


def test_the_settings_limit_cues() -> None:
    settings = Settings(subtitle_max_s=5, subtitle_max_characters=60, subtitle_max_fullwidth_characters=26)
    limits = cue_limits(settings)
    assert (limits.max_s, limits.line_width, limits.fullwidth_line_width) == (5.0, 30, 13)
