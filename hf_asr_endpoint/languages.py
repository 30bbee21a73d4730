"""The languages that Whisper was trained on, by Whisper's codes (mostly ISO 639-1) and English names.

Knows nothing of tokens or of what a loaded model supports. Source: openai/whisper, `whisper/tokenizer.py`.
"""

from __future__ import annotations

import difflib

from hf_asr_endpoint.errors import InvalidParameter

_TABLE = (
    "en:english zh:chinese de:german es:spanish ru:russian ko:korean fr:french ja:japanese pt:portuguese "
    "tr:turkish pl:polish ca:catalan nl:dutch ar:arabic sv:swedish it:italian id:indonesian hi:hindi "
    "fi:finnish vi:vietnamese he:hebrew uk:ukrainian el:greek ms:malay cs:czech ro:romanian da:danish "
    "hu:hungarian ta:tamil no:norwegian th:thai ur:urdu hr:croatian bg:bulgarian lt:lithuanian la:latin "
    "mi:maori ml:malayalam cy:welsh sk:slovak te:telugu fa:persian lv:latvian bn:bengali sr:serbian "
    "az:azerbaijani sl:slovenian kn:kannada et:estonian mk:macedonian br:breton eu:basque is:icelandic "
    "hy:armenian ne:nepali mn:mongolian bs:bosnian kk:kazakh sq:albanian sw:swahili gl:galician "
    "mr:marathi pa:punjabi si:sinhala km:khmer sn:shona yo:yoruba so:somali af:afrikaans oc:occitan "
    "ka:georgian be:belarusian tg:tajik sd:sindhi gu:gujarati am:amharic yi:yiddish lo:lao uz:uzbek "
    "fo:faroese ht:haitian_creole ps:pashto tk:turkmen nn:nynorsk mt:maltese sa:sanskrit "
    "lb:luxembourgish my:myanmar bo:tibetan tl:tagalog mg:malagasy as:assamese tt:tatar haw:hawaiian "
    "ln:lingala ha:hausa ba:bashkir jw:javanese su:sundanese yue:cantonese"
)
LANGUAGE_NAMES: dict[str, str] = {
    code: name.replace("_", " ") for code, _, name in (entry.partition(":") for entry in _TABLE.split())
}

_ALIASES = {
    "burmese": "my",
    "castilian": "es",
    "flemish": "nl",
    "haitian": "ht",
    "letzeburgesch": "lb",
    "mandarin": "zh",
    "moldavian": "ro",
    "moldovan": "ro",
    "panjabi": "pa",
    "pushto": "ps",
    "sinhalese": "si",
    "valencian": "ca",
    "jv": "jw",  # the ISO 639-1 code of Javanese; Whisper uses an older one
}
_CODES = {name: code for code, name in LANGUAGE_NAMES.items()} | _ALIASES


def parse_language(text: str) -> str:
    """Return Whisper's code for a code ("de"), an English name ("German") or a token ("<|de|>"), in any case.

    Raises InvalidParameter for other texts.
    """
    name = text.strip().lower().removeprefix("<|").removesuffix("|>")
    if name in LANGUAGE_NAMES:
        return name
    if name in _CODES:
        return _CODES[name]
    similar = difflib.get_close_matches(name[:80], [*LANGUAGE_NAMES, *_CODES], n=3)
    hint = f"; similar: {', '.join(similar)}" if similar else ""
    raise InvalidParameter(
        f"language is {text[:80]!r}; allowed: one of Whisper's {len(LANGUAGE_NAMES)} languages "
        f'by code ("de") or English name ("german"){hint}',
        parameter="language",
    )
