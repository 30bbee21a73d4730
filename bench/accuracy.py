"""Word error rates with Whisper's English text normaliser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

normalise = EnglishTextNormalizer()


@dataclass(frozen=True, slots=True, kw_only=True)
class WordErrors:
    """The word error rate over all words of some recordings. wer: in per cent."""

    wer: float
    n_words: int


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> WordErrors:
    """Compare transcripts with their references, recording by recording."""
    expected, found = ([normalise(text) for text in texts] for texts in (references, hypotheses))
    measures = jiwer.process_words(expected, found)
    n_words = measures.hits + measures.substitutions + measures.deletions
    return WordErrors(wer=100 * measures.wer, n_words=n_words)
