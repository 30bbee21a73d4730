"""Word error rates with Whisper's own text normaliser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

normalise = EnglishTextNormalizer()


@dataclass(frozen=True, slots=True, kw_only=True)
class WordErrors:
    """Word error rate in per cent over all words of some recordings."""

    wer: float
    n_words: int


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> WordErrors:
    """Compare what was heard with what was said, recording by recording."""
    said, heard = ([normalise(text) for text in texts] for texts in (references, hypotheses))
    measures = jiwer.process_words(said, heard)
    n_words = measures.hits + measures.substitutions + measures.deletions
    return WordErrors(wer=100 * measures.wer, n_words=n_words)
