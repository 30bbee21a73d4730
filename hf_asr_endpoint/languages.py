"""A language as people and programs write it, to Whisper's code (mostly ISO 639-1).

Knows nothing of tokens or of what a loaded model supports; the data is in `language_names`.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from hf_asr_endpoint.errors import InvalidParameter, UnsupportedValue
from hf_asr_endpoint.language_names import OTHER_ROWS, WHISPER_ROWS
from hf_asr_endpoint.messages import quote

MAX_LANGUAGE_CHARACTERS = 60
"""No code, tag or name is longer. A longer text is refused before it is compared with all of them."""

DETECT = frozenset({
    *("", "auto", "automatic", "autodetect", "auto detect", "detect", "detect language", "default"),
    *("null", "none", "nil", "undefined", "unknown", "und", "mul", "multi", "multilingual", "any"),
})  # fmt: skip
"""What clients write for a language that is to be detected. "und" and "mul" are codes of ISO 639-2."""

_TAG = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{3})(?=[-_]|$))?(?:[-_][a-z0-9]{1,8})*")
"""A tag of RFC 5646, or a POSIX locale without its charset: the language, its extended language, and the rest."""

_CHARSET = re.compile(r"[.@][a-z0-9_-]*$")


def _fold(text: str) -> str:
    """Return a name without case, accents and punctuation, so that "Norwegian (Bokmal)" is "norwegian bokmål"."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[-_,;/()]", " ", plain).split())


def _read_whisper_rows() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return Whisper's names by its codes, and its codes by all codes and by all names."""
    names: dict[str, str] = {}
    by_code: dict[str, str] = {}
    by_name: dict[str, str] = {}
    for row in WHISPER_ROWS.strip().splitlines():
        code, name, codes, others = (part.strip() for part in row.split(":"))
        names[code] = name
        by_code.update(dict.fromkeys((code, *codes.split()), code))
        by_name.update({_fold(known): code for known in (name, *others.split(",")) if known.strip()})
    return names, by_code, by_name


def _read_other_rows() -> dict[str, str]:
    """Return English names of other languages, by their codes."""
    names: dict[str, str] = {}
    for row in OTHER_ROWS.replace("\n", " ").split(";"):
        found = re.fullmatch(r"\s*((?:[a-z]{2} )?[a-z]{3}) (.+?)\s*", row)
        assert found, row
        names.update(dict.fromkeys(found[1].split(), found[2]))
    return names


LANGUAGE_NAMES, _BY_CODE, _BY_NAME = _read_whisper_rows()
"""The first: English names by Whisper's codes, in the order of Whisper's tokens."""

_OTHER_NAMES = _read_other_rows()
_OTHERS_BY_NAME = {_fold(name): name for name in _OTHER_NAMES.values()}
_SUGGESTED = [*_BY_CODE, *(_fold(name) for name in LANGUAGE_NAMES.values()), *_OTHERS_BY_NAME]


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageChoice:
    """What a request says of the language. Both empty: detect it among all; `languages`: among these."""

    language: str | None = None
    languages: tuple[str, ...] = ()


def parse_language(text: str | None, *, parameter: str = "language") -> str | None:
    """Return Whisper's code for a language, or None where it is to be detected: for None and the words of DETECT.

    text, in any case: a code of ISO 639-1, 639-2 or 639-3, a withdrawn code ("iw"), a tag with script and region
    ("zh-Hant-TW", "pt_BR"), a name in English or in the language itself, or a token ("<|de|>").
    Raises UnsupportedValue for a language that no Whisper model has, InvalidParameter for other texts.
    """
    if text is None:
        return None
    if len(text.strip()) > MAX_LANGUAGE_CHARACTERS:
        raise _unknown(text, parameter)
    name = text.strip().casefold().removeprefix("<|").removesuffix("|>").strip()
    folded = _fold(name)
    if folded in DETECT:
        return None
    outside = _fold(re.sub(r"\(.*\)", " ", name))  # "English (United States)"
    for known in (folded, outside):
        if known in _BY_NAME:
            return _BY_NAME[known]
        if known in _OTHERS_BY_NAME:
            raise _not_trained(text, _OTHERS_BY_NAME[known], parameter)
    return _parse_tag(text, _CHARSET.sub("", name), parameter)


def choose_languages(language: str | None, languages: Iterable[str]) -> LanguageChoice:
    """Return what `language` and `languages` say together, each as `parse_language` reads it.

    Several spellings of one language count as one, and one language is as good as `language`. A word of DETECT
    among several puts no limit. Raises InvalidParameter where `language` is not among `languages`, too.
    """
    chosen = parse_language(language)
    codes = tuple(dict.fromkeys(parse_language(text, parameter="languages") for text in languages))
    limited = tuple(code for code in codes if code is not None) if None not in codes else ()
    if chosen is not None and limited and chosen not in limited:
        raise InvalidParameter(
            f"language is {chosen!r}, which is not among languages, {', '.join(limited)}; "
            "allowed: one of the two, or a language that is among languages",
            parameter="language",
        )
    if chosen is not None:
        return LanguageChoice(language=chosen)
    return LanguageChoice(language=limited[0]) if len(limited) == 1 else LanguageChoice(languages=limited)


def describe_language(code: str) -> str:
    """Return a code of Whisper as messages show it: 'yue' (cantonese)."""
    return f"{code!r} ({LANGUAGE_NAMES[code]})" if code in LANGUAGE_NAMES else repr(code)


def _parse_tag(text: str, tag: str, parameter: str) -> str:
    found = _TAG.fullmatch(tag)
    if not found:
        raise _unknown(text, parameter)
    extended = found[2]  # "zh-yue" is Cantonese.
    for code in (extended, found[1]) if extended in _BY_CODE or extended in _OTHER_NAMES else (found[1],):
        if code in _BY_CODE:
            return _BY_CODE[code]
        if code in _OTHER_NAMES:
            raise _not_trained(text, _OTHER_NAMES[code], parameter)
    raise _unknown(text, parameter)


def _not_trained(text: str, name: str, parameter: str) -> UnsupportedValue:
    which = "" if _fold(text) == _fold(name) else f" which is {name.title()},"
    return UnsupportedValue(
        f"{parameter} is {quote(text)},{which} a language that Whisper was not trained on; allowed: {_allowed()}",
        parameter=parameter,
    )


def _unknown(text: str, parameter: str) -> InvalidParameter:
    wanted = _fold(text[:MAX_LANGUAGE_CHARACTERS]).removeprefix("<|").removesuffix("|>")
    similar = difflib.get_close_matches(wanted, _SUGGESTED, n=3)
    hint = f"; similar: {', '.join(similar)}" if similar else ""
    return InvalidParameter(f"{parameter} is {quote(text)}; allowed: {_allowed()}{hint}", parameter=parameter)


def _allowed() -> str:
    return (
        f"one of Whisper's {len(LANGUAGE_NAMES)} languages "
        'by code ("de", "deu", "de-AT") or name ("german"), or "auto" to detect it'
    )
