"""The words of one window: what the decoder is asked about them, and what comes of its answer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.transcription.segments import TimedTokens
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.transcription.word_split import split_words
from hf_asr_endpoint.transcription.words import Pause, time_words
from hf_asr_endpoint.types import Task, Word
from hf_asr_endpoint.units import N_POSITIONS, TIME_PRECISION_S
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, AlignmentOutput, locate_tokens
from hf_asr_endpoint.whisper.decoding.state import DecodingState

MIN_TOKEN_S = 0.04  # seconds that a token takes at least: speech too short for its text was not found whole


class WindowWords:
    """Finds the words of one decoded window. Times are seconds from its beginning."""

    def __init__(
        self, vocabulary: Vocabulary, *, task: Task, duration_s: float, speech: Sequence[SpeechSpan]
    ) -> None:
        """duration_s: of the audio in the window. speech: where in it somebody speaks, in order."""
        self._vocabulary = vocabulary
        self._task = task
        self._duration_s = duration_s
        self._speech = speech

    def to_align(self, state: DecodingState) -> AlignmentInput | None:
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
        self, pieces: Sequence[TimedTokens], state: DecodingState, attention: AlignmentOutput
    ) -> list[list[Word]]:
        """Return the words of each piece of the window's text. attention: what the decoder has answered."""
        begin_s, end_s, pauses = self._pauses(n_tokens=len(attention.probabilities))
        tokens = locate_tokens(attention, begin_s=begin_s, end_s=end_s)
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
        timed = iter(time_words([word for words in by_piece for word in words], tokens, pauses))
        return [[next(timed) for _ in words] for words in by_piece]

    def _pauses(self, *, n_tokens: int) -> tuple[float, float, list[Pause]]:
        """Return where speech begins and ends, and the pauses between."""
        spans = [span for span in self._speech if span.end_s > 0]
        if not spans or spans[-1].end_s - spans[0].start_s < n_tokens * MIN_TOKEN_S:
            return 0.0, self._duration_s, []
        pauses = [Pause(start=left.end_s, end=right.start_s) for left, right in itertools.pairwise(spans)]
        return max(spans[0].start_s, 0.0), spans[-1].end_s, pauses
