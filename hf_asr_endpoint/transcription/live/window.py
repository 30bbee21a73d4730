"""The part of a turn that partial passes decode: where it begins, and which of its words are certain. Pure.

Times are seconds of the session's audio.
"""

from __future__ import annotations

from collections.abc import Sequence

from hf_asr_endpoint.transcription.live.confirmation import Certainty, n_confirmed
from hf_asr_endpoint.transcription.live.events import LiveWord
from hf_asr_endpoint.transcription.live.jobs import PartialResult

MAX_WINDOW_S = 6.0
KEPT_S = 2.0  # of confirmed audio that stays when a window is cut
MAX_STUCK_S = 15.0
"""A window as long as this has found no place to be cut: it begins anew, and the final pass shows what is lost."""
LEFT_S = 1.5
"""Speech behind the last word of a pass for which the model has no text: it has ended its text at a pause. The
window begins behind that word."""


class PartialWindow:
    """The window of one turn."""

    def __init__(self, *, start_s: float) -> None:
        self.start_s = start_s
        self.confirmed: list[LiveWord] = []
        """Those whose audio is in the window."""
        self._new: Sequence[LiveWord] = ()  # of the last pass, not confirmed

    @property
    def draft(self) -> tuple[int, ...]:
        """The tokens that the next pass will probably find."""
        return tuple(token for word in self._new for token in word.tokens)

    @property
    def uncertain(self) -> tuple[LiveWord, ...]:
        """The words of the last pass behind those that are certain."""
        return tuple(self._new)

    def take(
        self, result: PartialResult, *, end_s: float, speech_end_s: float, certainty: Certainty
    ) -> Sequence[LiveWord]:
        """Take a pass's new words, and return those that are certain. end_s: of the audio that it decoded.

        speech_end_s: of the speech in it.
        """
        n = n_confirmed(self._new, result.words, audio_end_s=end_s, certainty=certainty)
        certain = result.words[:n]
        self.confirmed.extend(certain)
        self._new = result.words[n:]
        if not self._new and self.confirmed and speech_end_s - self.confirmed[-1].word.end > LEFT_S:
            self._begin(self.confirmed[-1].word.end, kept=[])
        return certain

    def trim(self, end_s: float) -> None:
        """Cut the window where it has become long, at the widest gap among its last confirmed words."""
        if end_s - self.start_s <= MAX_WINDOW_S:
            return
        if self.confirmed:
            words = [word.word for word in self.confirmed]
            earliest_s = words[-1].end - KEPT_S
            places = [index for index in range(1, len(words)) if words[index].start >= earliest_s]
            if places:
                index = max(places, key=lambda place: words[place].start - words[place - 1].end)
                cut_s = (words[index - 1].end + words[index].start) / 2
                self._begin(cut_s, kept=self.confirmed[index:], new=self._new)
        if end_s - self.start_s > MAX_STUCK_S:
            self._begin(end_s - MAX_WINDOW_S / 2, kept=[])

    def restart(self, start_s: float) -> None:
        """Begin again at a later time, because nothing is said before it."""
        if start_s > self.start_s:
            self._begin(start_s, kept=[])

    def _begin(self, start_s: float, *, kept: list[LiveWord], new: Sequence[LiveWord] = ()) -> None:
        self.start_s, self.confirmed, self._new = start_s, kept, new
