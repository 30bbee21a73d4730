"""Whether a decoded window will do, and how to decode it again if not.

The thresholds and their order are those of openai/whisper's `transcribe` (Radford et al. 2022, section 4.5).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hf_asr_endpoint.types import FallbackThresholds
from hf_asr_endpoint.whisper.decoding.state import DecodingState

MAX_ATTEMPTS_FOR_SKIPPED_SPEECH = (
    3  # attempts in which to look for skipped speech: it may have been no speech after all
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung of the ladder. is_whole: over a window of 30 s, not one cut to the audio."""

    temperature: float
    is_whole: bool


def ladder(temperatures: Sequence[float], *, is_cut: bool) -> tuple[Step, ...]:
    """Return what to try in turn. is_cut: whether the first window may be shorter than 30 s.

    What fails in a window that was cut to the audio is tried in the whole one before any other
    temperature: shorter windows are not what the model was trained on.
    """
    whole = tuple(Step(temperature=temperature, is_whole=True) for temperature in temperatures)
    return (Step(temperature=temperatures[0], is_whole=False), *whole) if is_cut else whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """A decoded window and what its thresholds look at."""

    state: DecodingState
    temperature: float
    compression_ratio: float
    skips_speech: bool


class Fallback:
    """Climbs the ladder for one window."""

    def __init__(
        self, steps: Sequence[Step], thresholds: FallbackThresholds, *, decode: Callable[[Sequence[int]], str]
    ) -> None:
        """decode: token ids to text."""
        self._steps = steps
        self._thresholds = thresholds
        self._decode = decode
        self._attempts: list[Attempted] = []

    @property
    def step(self) -> Step:
        """What is being tried."""
        return self._steps[len(self._attempts)]

    def next(self, state: DecodingState, *, skips_speech: bool = False) -> Step | None:
        """Take the result of a step and return the next one; None when there is nothing more to try.

        skips_speech: whether speech was heard for which the tokens have no text.
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
        if self._will_do(attempt) and not (
            attempt.skips_speech and len(self._attempts) < MAX_ATTEMPTS_FOR_SKIPPED_SPEECH
        ):
            return None
        return self.step

    def result(self) -> Attempted | None:
        """Return the attempt to keep; None when nothing was said.

        When none passed, that is the likeliest one of those that do not repeat themselves. When all do, at
        every temperature, it is the recording that repeats itself.
        """
        if self._is_silence(self._attempts[-1]):
            return None
        spoken = [attempt for attempt in self._attempts if not self._is_silence(attempt)]
        passed = [attempt for attempt in spoken if self._passes(attempt)]
        for wanted in (
            [attempt for attempt in passed if not attempt.skips_speech],
            passed,
            [attempt for attempt in spoken if not self._is_repetitive(attempt)],
        ):
            if wanted:
                return max(wanted, key=lambda attempt: attempt.state.avg_logprob)
        return max(spoken, key=lambda attempt: attempt.state.avg_logprob)

    def _will_do(self, attempt: Attempted) -> bool:
        return self._is_silence(attempt) or self._passes(attempt)

    def _passes(self, attempt: Attempted) -> bool:
        return not (self._is_repetitive(attempt) or self._is_unlikely(attempt))

    def _is_repetitive(self, attempt: Attempted) -> bool:
        threshold = self._thresholds.compression_ratio_threshold
        return threshold is not None and attempt.compression_ratio > threshold

    def _is_unlikely(self, attempt: Attempted) -> bool:
        threshold = self._thresholds.logprob_threshold
        return threshold is not None and attempt.state.avg_logprob < threshold

    def _is_silence(self, attempt: Attempted) -> bool:
        """The model doubts both that there is speech and that it is what it wrote."""
        threshold = self._thresholds.no_speech_threshold
        if threshold is None or attempt.state.no_speech_prob <= threshold:
            return False
        return self._thresholds.logprob_threshold is None or self._is_unlikely(attempt)


def compression_ratio(text: str) -> float:
    """Return UTF-8 bytes over zlib bytes."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))
