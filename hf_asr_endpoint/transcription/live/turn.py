"""One turn: its pieces, what is shown of it, and what is left to show. Counts in samples of the session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hf_asr_endpoint.transcription.live.confirmation import words_behind
from hf_asr_endpoint.transcription.live.events import (
    Committed,
    Completed,
    Delta,
    Failed,
    Interim,
    LiveEvent,
    LiveWord,
)
from hf_asr_endpoint.transcription.live.jobs import FinalJob, FinalResult
from hf_asr_endpoint.transcription.live.window import PartialWindow
from hf_asr_endpoint.units import SAMPLE_RATE

MAX_CONTEXT_GAP = 5 * SAMPLE_RATE
"""Between two turns. A sentence may go on over a pause that ends a turn; later it is another one."""


@dataclass(slots=True)
class Piece:
    """A part of a turn that is decoded at once. end: None while it grows.

    speech_end: of the speech in the audio of `job` and `result`. shown: words of partial passes.
    """

    start: int
    end: int | None = None
    job: FinalJob | None = None
    result: FinalResult | None = None
    speech_end: int = 0
    shown: list[LiveWord] = field(default_factory=list)

    def has(self, word: LiveWord) -> bool:
        """Return whether a word ends in it."""
        end = word.word.end * SAMPLE_RATE
        return self.start < end and (self.end is None or end <= self.end)

    def drop(self) -> None:
        """Forget its text, because there is more speech."""
        if self.job is not None:
            self.job.token.cancel()
        self.job = self.result = None


class Turn:
    """From its first sample to its text."""

    def __init__(self, number: int, *, start: int) -> None:
        self.number = number
        self.start = start
        self.end: int | None = None
        self.pieces = [Piece(start)]
        self.window = PartialWindow(start_s=start / SAMPLE_RATE)
        self._shown: LiveWord | None = None
        self._pending: list[LiveWord] = []  # shown as soon as the turn is the first one
        self._interim = ""  # the text of the last one, as far as it holds
        self._is_told = False

    @property
    def piece(self) -> Piece:
        """The last piece."""
        return self.pieces[-1]

    @property
    def is_decoded(self) -> bool:
        return self.end is not None and all(piece.result is not None for piece in self.pieces)

    @property
    def text(self) -> str | None:
        """None as long as a piece of it is not decoded."""
        if any(piece.result is None for piece in self.pieces):
            return None
        return "".join(piece.result.text for piece in self.pieces if piece.result).strip()

    def show(self, words: Sequence[LiveWord]) -> None:
        """Take words that are certain."""
        if words:
            self._pending.extend(words)
            self._shown = words[-1]
            self.piece.shown.extend(words)

    def show_decoded(self) -> None:
        """Take the words of the last piece's text that are not shown."""
        if self.piece.result is not None:
            self.show(words_behind(self._shown, self.piece.result.words))

    def draft(self, piece: Piece) -> tuple[int, ...]:
        """Return the tokens of what partial passes have found in a piece."""
        found = [*piece.shown, *self.window.uncertain]
        return tuple(token for word in found if piece.has(word) for token in word.tokens)

    def before(self, piece: Piece, ended: Turn | None) -> FinalResult | None:
        """Return what was said right before a piece: in this turn, or in the one that ended before it."""
        if (index := self.pieces.index(piece)) > 0:
            return self.pieces[index - 1].result
        is_close = ended is not None and ended.end is not None and self.start - ended.end <= MAX_CONTEXT_GAP
        return ended.piece.result if ended is not None and is_close else None

    def cut(self, sample: int) -> Piece:
        """End the last piece, and begin another one. Returns the one that has ended."""
        piece = self.piece
        piece.end = sample
        following = Piece(sample)
        following.shown = [word for word in piece.shown if following.has(word)]
        self.pieces.append(following)
        return piece

    def drop(self) -> None:
        """Cancel what is being decoded."""
        for piece in self.pieces:
            piece.drop()

    def tell(self) -> list[LiveEvent]:
        """Return the events that are due, once the turn is the first one."""
        events: list[LiveEvent] = []
        if self._pending:
            events.append(Delta(turn=self.number, words=tuple(self._pending)))
            self._pending = []
            self._interim = ""
        uncertain = self.window.uncertain
        text = "".join(word.text for word in uncertain)
        if text != self._interim and not self.is_decoded:
            events.append(Interim(turn=self.number, words=uncertain))
            self._interim = text
        if self.is_decoded and not self._is_told:
            self._is_told = True
            events.extend(self._conclude())
        return events

    def _conclude(self) -> list[LiveEvent]:
        results = [piece.result for piece in self.pieces if piece.result is not None]
        error = next((result.error for result in results if result.error is not None), None)
        if error is not None:
            return [Failed(turn=self.number, error=error)]
        words = tuple(word for result in results for word in result.words)
        rest = tuple(words_behind(self._shown, words))
        assert self.end is not None
        completed = Completed(
            turn=self.number,
            text="".join(result.text for result in results).strip(),
            words=words,
            duration_s=(self.end - self.start) / SAMPLE_RATE,
            language=next((result.language for result in results if result.language), None),
        )
        return [Delta(turn=self.number, words=rest), completed] if rest else [completed]

    def commit(self, end: int) -> LiveEvent:
        self.end = self.piece.end = end
        return Committed(turn=self.number)
