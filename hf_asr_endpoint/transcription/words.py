"""The words of one window: the text to align, and the times of its tokens corrected by the pauses in speech.

Times are seconds from the window's beginning.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.transcription.segments import TimedTokens
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.transcription.word_split import WordTokens, split_words
from hf_asr_endpoint.types import Task, Word
from hf_asr_endpoint.units import N_POSITIONS, TIME_PRECISION_S
from hf_asr_endpoint.whisper.alignment.timing import (
    AlignmentInput,
    AlignmentOutput,
    TimedToken,
    locate_tokens,
)
from hf_asr_endpoint.whisper.decoding.state import DecodingState

MIN_TOKEN_S = 0.04  # seconds per token: less speech than this for the text means that VAD missed some of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Silence between two spans of speech."""

    start: float
    end: float


class WindowWords:
    """Finds the words of one decoded window."""

    def __init__(
        self, vocabulary: Vocabulary, *, task: Task, duration_s: float, speech: Sequence[SpeechSpan]
    ) -> None:
        """duration_s: of the audio in the window. speech: spans in the window, in order."""
        self._vocabulary = vocabulary
        self._task = task
        self._duration_s = duration_s
        self._speech = speech

    def alignment_input(self, state: DecodingState) -> AlignmentInput | None:
        """Return what the decoder is to align with the window; None when there is no text."""
        tokens = self._vocabulary.text_tokens(state.sampled)
        if not tokens:
            return None
        return AlignmentInput(
            prompt=self._vocabulary.prompt_without_timestamps(state),
            tokens=tokens,
            n_positions=min(math.ceil(self._duration_s / TIME_PRECISION_S), N_POSITIONS),
        )

    def find(
        self, pieces: Sequence[TimedTokens], state: DecodingState, alignment: AlignmentOutput
    ) -> list[list[Word]]:
        """Return the words of each piece of the window's text. alignment: of the whole text."""
        language = "en" if self._task == "translate" else self._vocabulary.language_of(state)
        by_piece = [
            split_words(
                self._vocabulary.text_tokens(piece.tokens),
                language=language,
                decode=self._vocabulary.decode,
                first=len(self._vocabulary.text_tokens(state.sampled[: piece.first])),
            )
            for piece in pieces
        ]
        timed = iter(self.time([word for words in by_piece for word in words], alignment))
        return [[next(timed) for _ in words] for words in by_piece]

    def time(self, words: Sequence[WordTokens], alignment: AlignmentOutput) -> list[Word]:
        """Return words with their times. words: their ranges are indices into the aligned text."""
        begin_s, end_s, pauses = self._pauses(n_tokens=len(alignment.probabilities))
        return time_words(words, locate_tokens(alignment, begin_s=begin_s, end_s=end_s), pauses)

    def _pauses(self, *, n_tokens: int) -> tuple[float, float, list[Pause]]:
        """Return where speech begins and ends, and the pauses in between."""
        spans = [span for span in self._speech if span.end_s > 0]
        if not spans or spans[-1].end_s - spans[0].start_s < n_tokens * MIN_TOKEN_S:
            return 0.0, self._duration_s, []
        pauses = [Pause(start=left.end_s, end=right.start_s) for left, right in itertools.pairwise(spans)]
        return max(spans[0].start_s, 0.0), spans[-1].end_s, pauses


def time_words(words: Sequence[WordTokens], tokens: Sequence[TimedToken], pauses: Sequence[Pause]) -> list[Word]:
    """Return the words of a window's text: start <= end, and no word starts before the previous one's end.

    words: their ranges are indices into `tokens`. A word lasts until its punctuation or the next word begins; its
    probability is the mean of its tokens' without punctuation, as in openai/whisper. openai/whisper shortens words
    that are too long next to a pause; here no word reaches into a pause.
    """
    starts = [tokens[word.spoken.start].start for word in words]
    ends = [tokens[word.spoken.stop - 1].end for word in words]
    for index in range(1, len(words)):
        # The peak of the attention is reliable; its edge often moves to the next word before that is spoken.
        earliest = tokens[words[index - 1].spoken.stop - 1].peak
        latest = tokens[words[index].spoken.start].peak
        between = [pause for pause in pauses if earliest < (pause.start + pause.end) / 2 < latest]
        if between:
            ends[index - 1] = max(min(ends[index - 1], between[0].start), starts[index - 1])
            starts[index] = min(max(starts[index], between[-1].end), ends[index])
    return [
        Word(
            word=word.text,
            start=start,
            end=end,
            probability=fmean(tokens[index].probability for index in word.spoken),
        )
        for word, start, end in zip(words, starts, ends, strict=True)
    ]
