"""When a session's next partial pass is due. Pure."""

from __future__ import annotations

from hf_asr_endpoint.transcription.live.jobs import PartialResult
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.units import SAMPLE_RATE

MIN_INTERVAL_S, MAX_INTERVAL_S = 0.3, 2.0  # of new audio between two passes
REST = 1.25
"""A pass begins after the time that the last one took, times this: where many speak, each rests, so that finals
and recordings find the engine free."""
MIN_SPEECH_S = 0.5  # A shorter beginning decodes to anything.
MIN_SPEECH_FOR_LANGUAGE_S = 2.0


class Pacing:
    """Counts in samples of audio."""

    def __init__(self, *, knows_language: bool) -> None:
        self._decoded = 0  # where the last pass's audio ended
        self._interval_s = MIN_INTERVAL_S
        self._knows_language = knows_language

    def is_due(self, *, now: int, speech_s: float, options: LiveOptions) -> bool:
        """Return whether a pass is to begin, and take it that it does. speech_s: in its window."""
        knows = self._knows_language or options.language is not None
        least_s = MIN_SPEECH_S if knows else MIN_SPEECH_FOR_LANGUAGE_S
        if speech_s < least_s or now - self._decoded < self._interval_s * SAMPLE_RATE:
            return False
        self._decoded = now
        return True

    def take(self, result: PartialResult) -> None:
        """Take a pass's result."""
        self.take_language(result.is_language_known)
        self._interval_s = min(max(REST * result.took_s, MIN_INTERVAL_S), MAX_INTERVAL_S)

    def take_language(self, is_known: bool) -> None:
        """Take it that the session's language is known."""
        self._knows_language = self._knows_language or is_known
