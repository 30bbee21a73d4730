"""Whether a text is English, by its most common words: enough to distinguish a translation from a transcript."""

from __future__ import annotations

import re

STOP_WORDS = {
    "en": "the of and to is was were that it for with by are be this from have has they not",
    "de": "der das und ist waren dass es für mit von sind zu den dem ein eine nicht auf im",
    "fr": "le la les de des du et est était que qui il pour avec par sont un une dans en pas",
    "es": "el la los las de del y es era que por con para un una en se su al lo",
    "pt": "o os de da dos das e é era que por com para são um uma em não na",
}
"""Common words by language. Nearly every sentence has some; none of another language is common in English."""

_WORD = re.compile(r"[^\W\d_]+")


def looks_english(text: str) -> bool:
    """Return whether a text has more English stop words than stop words of any other language."""
    words = _WORD.findall(text.lower())
    counts = {language: sum(word in known.split() for word in words) for language, known in STOP_WORDS.items()}
    return counts["en"] > max(count for language, count in counts.items() if language != "en")
