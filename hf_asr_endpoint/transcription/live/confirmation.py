"""Which words of a partial pass are certain enough to be shown. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hf_asr_endpoint.transcription.live.events import LiveWord
from hf_asr_endpoint.transcription.live.options import Delay


@dataclass(frozen=True, slots=True, kw_only=True)
class Certainty:
    """What shows a word. Margins are seconds between its end and the end of the audio.

    agreed_s: where the last pass had the same word. alone_s, probability: where it had not, or there was none.
    late_s: in any case, because all words behind it wait for it.
    """

    agreed_s: float
    alone_s: float
    late_s: float
    probability: float = 0.6


# Measured in simulated time on 10 clips of LibriSpeech, with passes of 0.2 s (whisper-base): with 0.1, 0.3, 0.8,
# half of the words come within 0.86 s of their end, with 0.3, 0.7, 0.6 within 0.94 s. No more of them are wrong.
CERTAINTIES: Mapping[Delay, Certainty] = {
    "minimal": Certainty(agreed_s=0.1, alone_s=0.3, late_s=1.0, probability=0.6),
    "low": Certainty(agreed_s=0.15, alone_s=0.4, late_s=1.4, probability=0.75),
    "medium": Certainty(agreed_s=0.6, alone_s=1.2, late_s=2.0),
    "high": Certainty(agreed_s=1.0, alone_s=2.0, late_s=3.0),
    "xhigh": Certainty(agreed_s=2.0, alone_s=4.0, late_s=6.0),
}


def n_confirmed(
    before: Sequence[LiveWord], words: Sequence[LiveWord], *, audio_end_s: float, certainty: Certainty
) -> int:
    """Return how many of a pass's new words are certain.

    before: the new words of the pass before, from the same word on.
    """
    n_agreed = n_common(before, words)
    for index, word in enumerate(words):
        margin_s = audio_end_s - word.word.end
        # The last word of a pass may be cut, and its punctuation is a guess.
        is_agreed = index < min(n_agreed, len(words) - 1) and margin_s >= certainty.agreed_s
        is_certain = margin_s >= certainty.alone_s and (word.word.probability or 0.0) >= certainty.probability
        if not (is_agreed or is_certain or margin_s >= certainty.late_s):
            return index
    return len(words)


def n_common(left: Sequence[LiveWord], right: Sequence[LiveWord]) -> int:
    """Return how many words both begin with. Case and punctuation do not count."""
    n = 0
    for one, other in zip(left, right, strict=False):
        if plain(one.text) != plain(other.text):
            break
        n += 1
    return n


def plain(text: str) -> str:
    """Return a word without case and punctuation."""
    return "".join(character for character in text.casefold() if unicodedata.category(character)[0] in "LMN")


def words_behind(shown: LiveWord | None, words: Sequence[LiveWord]) -> Sequence[LiveWord]:
    """Return the words of a final text that follow the last one shown.

    By their times; where the word that was shown last is found next to there, behind that.
    """
    if shown is None:
        return words
    end_s = shown.word.end
    first = sum(1 for word in words if (word.word.start + word.word.end) / 2 <= end_s)
    for index in (first, first + 1, first - 1, first + 2, first - 2):
        if 0 < index <= len(words) and plain(words[index - 1].text) == plain(shown.text):
            return words[index:]
    return words[first:]
