"""Whether a decoded window is accepted, and how it is decoded again if not.

The thresholds and their order are those of openai/whisper's `transcribe` (Radford et al. 2022, section 4.5).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hf_asr_endpoint.decoding_options import FallbackThresholds
from hf_asr_endpoint.whisper.decoding.state import DecodingState

MAX_ATTEMPTS_FOR_SKIPPED_SPEECH = 3  # VAD may have been wrong about the speech that seems skipped
MIN_DOUBTED_SPEECH_S = 1.0
"""VAD's speech from which on silence in a cut window is doubted. Shorter sounds become any text in a whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One attempt of the ladder. is_whole: over all 30 s, not over a window cut to the audio."""

    temperature: float
    is_whole: bool


def ladder(temperatures: Sequence[float], *, is_cut: bool) -> tuple[Step, ...]:
    """Return the attempts to make in turn. is_cut: whether the first window is shorter than 30 s.

    A window that was cut to the audio and fails is decoded as a whole one before any higher temperature: the model
    was trained on whole windows.
    """
    whole = tuple(Step(temperature=temperature, is_whole=True) for temperature in temperatures)
    return (Step(temperature=temperatures[0], is_whole=False), *whole) if is_cut else whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """A decoded window and the values that are compared with thresholds."""

    state: DecodingState
    temperature: float
    compression_ratio: float
    skips_speech: bool


class Fallback:
    """The attempts at one window so far."""

    def __init__(
        self,
        steps: Sequence[Step],
        thresholds: FallbackThresholds,
        *,
        speech_s: float,
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        """speech_s: what VAD found in the window. decode: token ids to text."""
        self._steps = steps
        self._thresholds = thresholds
        self._speech_s = speech_s
        self._decode = decode
        self._attempts: list[Attempted] = []

    @property
    def step(self) -> Step:
        """The current attempt."""
        return self._steps[len(self._attempts)]

    def next(self, state: DecodingState, *, skips_speech: bool = False) -> Step | None:
        """Take an attempt's result and return the next step; None when the window needs no more attempts.

        skips_speech: whether VAD found speech for which the tokens have no text.
        """
        attempt = Attempted(
            state=state,
            temperature=self.step.temperature,
            compression_ratio=compression_ratio(self._decode(state.sampled)),
            skips_speech=skips_speech,
        )
        self._attempts.append(attempt)
        if len(self._attempts) == len(self._steps):
            return None
        may_try_again = attempt.skips_speech and len(self._attempts) < MAX_ATTEMPTS_FOR_SKIPPED_SPEECH
        is_accepted = self._passes(attempt) or (self.is_silence(attempt.state) and not self._doubts_silence())
        return None if is_accepted and not may_try_again else self.step

    def result(self) -> Attempted | None:
        """Return the attempt to keep; None for silence.

        When no attempt passed, it is the likeliest of those that are not repetitive. When all are, at every
        temperature, the recording itself is repetitive.
        """
        spoken = [attempt for attempt in self._attempts if not self.is_silence(attempt.state)]
        if self.is_silence(self._attempts[-1].state) and not any(map(self._contradicts_silence, spoken)):
            return None
        passed = [attempt for attempt in spoken if self._passes(attempt)]
        for wanted in (
            [attempt for attempt in passed if not attempt.skips_speech],
            passed,
            [attempt for attempt in spoken if not self._is_repetitive(attempt)],
        ):
            if wanted:
                return max(wanted, key=lambda attempt: attempt.state.avg_logprob)
        return max(spoken, key=lambda attempt: attempt.state.avg_logprob)

    def _doubts_silence(self) -> bool:
        """Say whether the window was cut to the audio, where P(no_speech) says less, and the next one is whole."""
        is_cut = not self._steps[len(self._attempts) - 1].is_whole
        return is_cut and self._speech_s >= MIN_DOUBTED_SPEECH_S

    def _passes(self, attempt: Attempted) -> bool:
        return not (self._is_repetitive(attempt) or self._is_unlikely(attempt.state))

    def _contradicts_silence(self, spoken: Attempted) -> bool:
        """Say whether an attempt is reason enough to keep text although the last one found silence.

        A word alone is unlikely text in a cut window and drowns in a whole one, where P(no_speech) rises. Loops
        and text of a higher temperature come from silence too.
        """
        return spoken.temperature == self._steps[0].temperature and not self._is_repetitive(spoken)

    def is_repetitive(self, text: str) -> bool:
        """Return whether a text's compression ratio fails its threshold."""
        return self._fails_compression(compression_ratio(text))

    def _is_repetitive(self, attempt: Attempted) -> bool:
        return self._fails_compression(attempt.compression_ratio)

    def _fails_compression(self, ratio: float) -> bool:
        threshold = self._thresholds.compression_ratio_threshold
        return threshold is not None and ratio > threshold

    def _is_unlikely(self, state: DecodingState) -> bool:
        threshold = self._thresholds.logprob_threshold
        return threshold is not None and state.avg_logprob < threshold

    def is_silence(self, state: DecodingState) -> bool:
        """P(no_speech) is high, and the text is unlikely."""
        threshold = self._thresholds.no_speech_threshold
        if threshold is None or state.no_speech_prob <= threshold:
            return False
        return self._thresholds.logprob_threshold is None or self._is_unlikely(state)


def compression_ratio(text: str) -> float:
    """Return UTF-8 bytes / zlib bytes."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))
