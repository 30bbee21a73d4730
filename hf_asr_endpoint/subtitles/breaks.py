"""Where a text may be broken into lines and cues. Knows no widths and no times.

A text has spaces to break at, except in Chinese and Japanese, which are broken between characters, and in scripts
of South-East Asia, which are broken between syllables. A Latin word, a number or an amount is never broken.

Sources: JIS X 4051 and https://www.w3.org/TR/jlreq/#prohibited_line_head_characters (kinsoku),
https://www.w3.org/TR/clreq/#prohibition_rules_for_line_start_end, Unicode Standard Annex 14.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_NOT_FIRST = frozenset(
    "、。，．・：；？！‼⁇⁈⁉,.:;?!％%‰°℃～〜‐゠–—―…‥"
    "」』）】〕〉》〗〙〟｝］｠」)]}»”’"
    "ーｰ々〻ヽヾゝゞぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿｧｨｩｪｫｬｭｮｯ｡｣､･"
)
"""Characters that begin no line."""

_NOT_LAST = frozenset("「『（【〔〈《〖〘〝｛［｟｢([{«“‘￥＄￡¥$£€₩#＃№")
"""Characters that end no line."""

_TOGETHER = frozenset("—―…‥")
"""Characters that stand in pairs, which are not separated."""

_VOWELS_BEFORE = frozenset("เแโใไເແໂໃໄ")  # Thai and Lao: written before the consonant that they follow in speech
_VOWELS_AFTER = frozenset("ะาำๅๆฯະາຳໆ")

_IDEOGRAPHIC = ((0x2E80, 0xA4CF), (0xF900, 0xFAFF), (0xFE30, 0xFE4F), (0x1B000, 0x1B16F), (0x20000, 0x3FFFF))
_FULLWIDTH_FORMS, _HALFWIDTH_KATAKANA = (0xFF00, 0xFFEF), (0xFF65, 0xFF9F)
_SYLLABIC = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF))  # Thai and Lao, Myanmar, Khmer
_HANGUL_COMPATIBILITY = (0x3130, 0x318F)


def split_atoms(text: str) -> Iterator[tuple[int, int]]:
    """Yield the begin and end of each part of a text that is never broken, with the space before it.

    Whitespace at the end of the text belongs to no part. Takes linear time.
    """
    end = len(text.rstrip())
    begin = 0
    has_text = False
    for position in range(end):
        character = text[position]
        if has_text and _may_break(text[position - 1], character):
            yield begin, position
            begin, has_text = position, False
        has_text = has_text or not character.isspace()
    if has_text:
        yield begin, end


def join_lines(text: str) -> str:
    """Return lines as one, with a space between them where a break needs one."""
    first, *others = text.split("\n")
    joined = [first]
    for line in others:
        joined += ["" if _may_break(joined[-1][-1:] or " ", line[:1] or " ") else " ", line]
    return "".join(joined)


def is_fullwidth(character: str) -> bool:
    """Return whether a character is as wide as two Latin letters (Unicode Standard Annex 11)."""
    return unicodedata.east_asian_width(character) in "WF"


def _may_break(before: str, after: str) -> bool:
    """Return whether a line may end between two characters, which stand next to each other in the text."""
    if after.isspace():
        return not before.isspace()
    if before.isspace() or after in _NOT_FIRST or before in _NOT_LAST or _is_mark(after):
        return False
    if before in _TOGETHER and after in _TOGETHER:
        return False
    if _is_ideographic(before) or _is_ideographic(after):
        return True
    if _is_syllabic(before) and _is_syllabic(after):
        return before not in _VOWELS_BEFORE and after not in _VOWELS_AFTER and not _is_stacked(before)
    return False


def _is_ideographic(character: str) -> bool:
    code = ord(character)
    if code < _IDEOGRAPHIC[0][0] or _is_within(code, _HANGUL_COMPATIBILITY):
        return False
    if _is_within(code, _FULLWIDTH_FORMS):
        # Fullwidth letters and digits make words, like the others.
        return not character.isalnum() or _is_within(code, _HALFWIDTH_KATAKANA)
    return any(_is_within(code, block) for block in _IDEOGRAPHIC)


def _is_syllabic(character: str) -> bool:
    return any(_is_within(ord(character), block) for block in _SYLLABIC)


def _is_stacked(character: str) -> bool:
    """Whether the next consonant is written below this character: the virama of Myanmar and Khmer."""
    return character in "\u1039\u17d2"


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M" or character in "\u200d\u2060\ufe0f"


def _is_within(code: int, block: tuple[int, int]) -> bool:
    return block[0] <= code <= block[1]
