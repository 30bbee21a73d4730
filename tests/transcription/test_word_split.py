"""Words by the rules of openai/whisper, over a vocabulary that is spelt out in each test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hf_asr_endpoint.transcription.word_split import split_words
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer


def split(*tokens: bytes, language: str | None = "en") -> list[tuple[str, int]]:
    """Return each word with how many of its tokens are spoken."""

    def decode(ids: Sequence[int]) -> str:
        return b"".join(tokens[i] for i in ids).decode(errors="replace")

    words = split_words(range(len(tokens)), language=language, decode=decode)
    assert [index for word in words for index in word.tokens] == list(range(len(tokens)))
    assert "".join(word.text for word in words) == decode(range(len(tokens)))
    assert all(set(word.spoken) <= set(word.tokens) and word.spoken for word in words)
    return [(word.text, len(word.spoken)) for word in words]


def test_words_begin_with_spaces() -> None:
    assert split(b" Trans", b"cri", b"ption", b" is", b" done") == [
        (" Transcription", 3),
        (" is", 1),
        (" done", 1),
    ]


def test_a_text_may_begin_without_a_space() -> None:
    assert split(b"So", b" far") == [("So", 1), (" far", 1)]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param((b" yes", b",", b" no", b"."), [(" yes,", 1), (" no.", 1)], id="closing"),
        pytest.param((b" oh", b"!", b'"', b" no"), [(' oh!"', 1), (" no", 1)], id="two closing"),
        pytest.param((b" say", b' "', b"yes", b'"'), [(" say", 1), (' "yes"', 2)], id="opening without a space"),
        pytest.param((b" say", b' "', b" yes"), [(" say", 1), (' " yes', 1)], id="opening"),
        pytest.param((b" a", b" (", b' "', b"b", b")"), [(" a", 1), (' ( "b)', 2)], id="two opening"),
        pytest.param((b" don", b"'t", b" go"), [(" don't", 2), (" go", 1)], id="apostrophe"),
        pytest.param((b" ", b"...", b" well"), [(" ...", 2), (" well", 1)], id="dots alone"),
        pytest.param((b" so", b"-", b" well"), [(" so", 1), ("-", 1), (" well", 1)], id="a dash"),
        pytest.param((b" -",), [(" -", 1)], id="nothing but a sign"),
        pytest.param((b" cheap", b" \xc2\xa3", b"5"), [(" cheap", 1), (" \u00a35", 2)], id="currency"),
    ],
)
def test_punctuation_is_attached(tokens: tuple[bytes, ...], expected: list[tuple[str, int]]) -> None:
    assert split(*tokens) == expected


def test_a_character_made_of_several_tokens_stays_whole() -> None:
    assert split(b" caf", b"\xc3", b"\xa9", b" noir") == [(" caf\u00e9", 3), (" noir", 1)]


@pytest.mark.parametrize("language", ["zh", "ja", "th", "lo", "my", "yue"])
def test_languages_without_spaces_are_split_at_every_whole_character(language: str) -> None:
    sun, book = "\N{CJK UNIFIED IDEOGRAPH-65E5}".encode(), "\N{CJK UNIFIED IDEOGRAPH-672C}".encode()
    stop = "\N{IDEOGRAPHIC FULL STOP}".encode()
    words = split(sun, book[:1], book[1:], sun + book, stop, language=language)
    assert [text for text, _ in words] == [
        sun.decode(),
        book.decode(),
        (sun + book + stop).decode(),
    ]


def test_text_in_an_unknown_language_is_split_at_spaces() -> None:
    assert split(b" a", b"b", b" c", language=None) == [(" ab", 2), (" c", 1)]


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param((b" a", b"\xe3", b"\x81"), id="at the end"),
        pytest.param((b" a", b"\xe3", b"\x81", b" b", b" c"), id="in the middle"),
        pytest.param((b"\x81", b"\x81", b" b"), id="at the beginning"),
        pytest.param((b" \xef\xbf\xbd", b" b"), id="a real replacement character"),
    ],
)
def test_broken_characters_lose_no_text(tokens: tuple[bytes, ...]) -> None:
    split(*tokens)
    split(*tokens, language="ja")


def test_no_tokens_no_words() -> None:
    assert split() == []


def test_ranges_count_from_the_given_first_token() -> None:
    (word,) = split_words([5, 6], language="en", decode=lambda tokens: "ab"[: len(tokens)], first=10)
    assert (word.tokens, word.spoken) == (range(10, 12), range(10, 12))


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        (" Guten Tag, Herr M\u00fcller!", "de", [" Guten", " Tag,", " Herr", " M\u00fcller!"]),
        (" L'\u00e9t\u00e9 \u00e0 No\u00ebl.", "fr", [" L", "'\u00e9t\u00e9", " \u00e0", " No\u00ebl."]),
        ("\u65e5\u672c\u3067\u3059\u3002", "ja", ["\u65e5\u672c", "\u3067\u3059\u3002"]),
    ],
)
def test_whispers_own_vocabulary(base_directory: Path, text: str, language: str, expected: list[str]) -> None:
    tokenizer = WhisperTokenizer.from_directory(base_directory)
    words = split_words(tokenizer.encode(text), language=language, decode=tokenizer.decode)
    assert [word.text for word in words] == expected


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("£13.60 now", ["£13.60", " now"]),
        (" costs £13.60.", [" costs", " £13.60."]),
        (" 600,000, or 1,000,000.5!", [" 600,000,", " or", " 1,000,000.5!"]),
        (" the MS-13 gang", [" the", " MS-13", " gang"]),
        (" well-known Jean-Luc", [" well-known", " Jean-Luc"]),
        (" 5% of US$20, 13€ and 20°", [" 5%", " of", " US$20,", " 13€", " and", " 20°"]),
        (" at 3:30 on 1/2/2020.", [" at", " 3:30", " on", " 1/2/2020."]),
        (" In 2020. 5 people", [" In", " 2020.", " 5", " people"]),
        (" no - yes, he said: 5", [" no", " - yes,", " he", " said:", " 5"]),
        (" F-16s and COVID-19", [" F-16s", " and", " COVID-19"]),
    ],
)
def test_numbers_amounts_and_hyphenated_names_are_whole(
    base_directory: Path, text: str, words: list[str], language: str
) -> None:
    assert split_text(base_directory, text, language) == words


@pytest.mark.parametrize(
    ("text", "language", "whole"),
    [
        ("我在 Facebook 工作", "zh", [" Facebook"]),
        ("价格是£13.60,还有600,000个", "zh", ["£13.60,", "600,000"]),
        ("MS-13在洛杉矶", "zh", ["MS-13"]),
        ("私はMicrosoftで働く。", "ja", ["Microsoft"]),
        ("เขาทำงานที่Microsoftในปี2024ครับ", "th", ["Microsoft", "2024"]),
    ],
)
def test_latin_words_and_numbers_among_other_characters_are_whole(
    base_directory: Path, text: str, language: str, whole: list[str]
) -> None:
    found = split_text(base_directory, text, language)
    assert [word for word in found if word.strip()[:1] < "\u0e00" and word.strip()] == whole
    assert "".join(found) == text
    assert max(len(word) for word in found if word not in whole) <= 4  # The others stay as they were.


def split_text(directory: Path, text: str, language: str) -> list[str]:
    """Return the words of a text in Whisper's own vocabulary."""
    tokenizer = WhisperTokenizer.from_directory(directory)
    words = split_words(tokenizer.encode(text), language=language, decode=tokenizer.decode)
    return [word.text for word in words]
