from __future__ import annotations

import pytest
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from hf_asr_endpoint.errors import InvalidParameter, UnsupportedValue
from hf_asr_endpoint.languages import LANGUAGE_NAMES, LanguageChoice, choose_languages, parse_language

ISO_639_2 = (
    "eng en, zho zh, chi zh, deu de, ger de, spa es, rus ru, kor ko, fra fr, fre fr, jpn ja, por pt, tur "
    "tr, pol pl, cat ca, nld nl, dut nl, ara ar, swe sv, ita it, ind id, hin hi, fin fi, vie vi, heb he, "
    "ukr uk, ell el, gre el, msa ms, may ms, ces cs, cze cs, ron ro, rum ro, dan da, hun hu, tam ta, nor "
    "no, tha th, urd ur, hrv hr, bul bg, lit lt, lat la, mri mi, mao mi, mal ml, cym cy, wel cy, slk sk, "
    "slo sk, tel te, fas fa, per fa, lav lv, ben bn, srp sr, aze az, slv sl, kan kn, est et, mkd mk, mac "
    "mk, bre br, eus eu, baq eu, isl is, ice is, hye hy, arm hy, nep ne, mon mn, bos bs, kaz kk, sqi sq, "
    "alb sq, swa sw, glg gl, mar mr, pan pa, sin si, khm km, sna sn, yor yo, som so, afr af, oci oc, kat "
    "ka, geo ka, bel be, tgk tg, snd sd, guj gu, amh am, yid yi, lao lo, uzb uz, fao fo, hat ht, pus ps, "
    "tuk tk, nno nn, mlt mt, san sa, ltz lb, mya my, bur my, bod bo, tib bo, tgl tl, mlg mg, asm as, tat "
    "tt, haw haw, lin ln, hau ha, bak ba, jav jw, sun su, yue yue"
)
"""Codes of ISO 639-2/T and 639-2/B (639-3 for Cantonese) with Whisper's, for every language of Whisper."""

OTHER_SPELLINGS = (
    *(("DE", "de"), ("De", "de"), (" de\n", "de"), ("German", "de"), ("GERMAN", "de"), ("<|de|>", "de")),
    *(("en-US", "en"), ("en_us", "en"), ("pt_BR", "pt"), ("pt-br", "pt"), ("es-419", "es"), ("de-1996", "de")),
    *(("zh-Hans", "zh"), ("zh-Hant-TW", "zh"), ("zh_CN", "zh"), ("zh-cmn-Hans-CN", "zh"), ("cmn-Hans-CN", "zh")),
    *(("yue-HK", "yue"), ("zh-yue", "yue"), ("yue-Hant-HK", "yue"), ("sr-Latn-RS", "sr"), ("eng-GB", "en")),
    *(("de_DE.UTF-8", "de"), ("de_DE@euro", "de"), ("en-GB-oxendict", "en"), ("en-x-private", "en")),
    *(("iw", "he"), ("in", "id"), ("ji", "yi"), ("jv", "jw"), ("jw", "jw"), ("mo", "ro"), ("sh", "sr")),
    *(("nb", "no"), ("no", "no"), ("nob", "no"), ("nn", "nn"), ("nb-NO", "no"), ("nn-NO", "nn")),
    *(("cmn", "zh"), ("fil", "tl"), ("fil-PH", "tl"), ("arb", "ar"), ("pes", "fa"), ("swh", "sw"), ("zsm", "ms")),
    *(("jp", "ja"), ("cz", "cs"), ("ua", "uk"), ("gr", "el")),
    *(("English (United States)", "en"), ("Chinese (Simplified)", "zh"), ("Chinese (Cantonese)", "yue")),
    *(
        ("Norwegian (Bokmål)", "no"),
        ("norwegian bokmal", "no"),
        ("Norwegian Nynorsk", "nn"),
        ("Greek, Modern", "el"),
    ),
    *(
        ("haitian_creole", "ht"),
        ("Brazilian Portuguese", "pt"),
        ("Filipino", "tl"),
        ("Farsi", "fa"),
        ("Slovene", "sl"),
    ),
    *(
        ("Deutsch", "de"),
        ("Français", "fr"),
        ("francais", "fr"),
        ("español", "es"),
        ("中文", "zh"),
        ("日本語", "ja"),
    ),
    *(("Русский", "ru"), ("한국어", "ko"), ("العربية", "ar"), ("हिन्दी", "hi"), ("粵語", "yue")),
)


def test_table_equals_that_of_transformers_in_its_order() -> None:
    assert list(LANGUAGE_NAMES.items()) == list(LANGUAGES.items())


@pytest.mark.parametrize(("name", "code"), TO_LANGUAGE_CODE.items())
def test_names_and_aliases_are_accepted(name: str, code: str) -> None:
    assert parse_language(name.title()) == code


@pytest.mark.parametrize("code", LANGUAGE_NAMES)
def test_codes_of_whisper_are_accepted_in_any_case_with_a_region(code: str) -> None:
    assert parse_language(code) == parse_language(code.upper()) == parse_language(f"{code}-001") == code


@pytest.mark.parametrize("pair", ISO_639_2.split(", "))
def test_codes_of_three_letters_are_accepted(pair: str) -> None:
    text, code = pair.split()
    assert parse_language(text) == parse_language(text.upper()) == code


def test_each_language_has_a_code_of_three_letters() -> None:
    assert {pair.split()[1] for pair in ISO_639_2.split(", ")} == set(LANGUAGE_NAMES)


@pytest.mark.parametrize(("text", "code"), OTHER_SPELLINGS)
def test_other_spellings_are_accepted(text: str, code: str) -> None:
    assert parse_language(text) == code


@pytest.mark.parametrize(
    "text",
    [None, "", " ", "auto", "AUTO", "null", "None", "detect", "und", "undefined", "auto-detect", "<|auto|>"],
)
def test_words_for_detection(text: str | None) -> None:
    assert parse_language(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ga", "language is 'ga', which is Irish, a language that Whisper was not trained on"),
        ("gle", "which is Irish"),
        ("ga-IE", "which is Irish"),
        ("Irish", "language is 'Irish', a language that"),
        ("eo", "which is Esperanto"),
        ("zh-nan", "which is Min Nan Chinese"),
        ("ceb", "which is Cebuano"),
        ("Scottish Gaelic", "a language that Whisper was not trained on"),
    ],
)
def test_languages_that_no_model_has_are_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(UnsupportedValue) as refused:
        parse_language(text)
    assert message in str(refused.value)
    assert refused.value.parameter == "language"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("germn", "similar: german"),
        ("xx", "100 languages by code"),
        ("de,en", "allowed"),
        ("en-", "allowed"),
        ("i-klingon", "allowed"),
        ("\x00", "allowed"),
        ("<||>x", "allowed"),
        ("german" * 10_000, "allowed"),
    ],
)
def test_an_unknown_language_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^language is ") as refused:
        parse_language(text)
    assert hint in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("language", "languages", "choice"),
    [
        (None, [], LanguageChoice()),
        ("de", [], LanguageChoice(language="de")),
        (None, ["de"], LanguageChoice(language="de")),
        (None, ["en-US", "en_GB", "English"], LanguageChoice(language="en")),
        (None, ["de", "eng"], LanguageChoice(languages=("de", "en"))),
        ("auto", ["de", "en"], LanguageChoice(languages=("de", "en"))),
        ("English", ["de", "en-US"], LanguageChoice(language="en")),
        (None, ["auto"], LanguageChoice()),
        (None, ["auto", "de"], LanguageChoice()),
        ("de", ["auto"], LanguageChoice(language="de")),
    ],
)
def test_language_and_languages_together(
    language: str | None, languages: list[str], choice: LanguageChoice
) -> None:
    assert choose_languages(language, languages) == choice


@pytest.mark.parametrize(
    ("language", "languages", "parameter", "message"),
    [
        ("de", ["en", "fr"], "language", "language is 'de', which is not among languages, en, fr"),
        ("de", ["fr"], "language", "not among languages"),
        (None, ["de", "germn"], "languages", "languages is 'germn'"),
        (None, ["de", "ga"], "languages", "which is Irish"),
    ],
)
def test_languages_that_contradict_or_are_unknown_are_refused(
    language: str | None, languages: list[str], parameter: str, message: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        choose_languages(language, languages)
    assert message in str(refused.value)
    assert refused.value.parameter == parameter
