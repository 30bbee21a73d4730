"""The audio of a session as far as it is still needed, and the speech in it. Counts in samples of the session."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hf_asr_endpoint.audio.chunking import RecentSamples
from hf_asr_endpoint.audio.speech_spans import N_STEP_SAMPLES, Span, SpeechStream
from hf_asr_endpoint.transcription.live.speech import SpeechTracker
from hf_asr_endpoint.types import Waveform

BLOCK_SAMPLES = 3 * N_STEP_SAMPLES  # 96 ms


class SessionAudio:
    """Takes samples of any number, and searches them for speech block by block."""

    def __init__(self, stream: SpeechStream, *, threshold: float) -> None:
        self.speech = SpeechTracker(stream, threshold=threshold)
        self._samples = RecentSamples()
        self._left: Waveform = np.zeros(0, np.float32)  # less than a block

    @property
    def now(self) -> int:
        """Up to where the audio has been searched."""
        return self._samples.end

    @property
    def end(self) -> int:
        """Up to where the audio has come."""
        return self.now + len(self._left)

    def push(self, samples: Waveform) -> Iterator[None]:
        """Take samples; yield after each block."""
        samples = np.concatenate([self._left, samples])
        n_whole = len(samples) - len(samples) % BLOCK_SAMPLES
        for begin in range(0, n_whole, BLOCK_SAMPLES):
            self._left = samples[begin + BLOCK_SAMPLES :]
            self._take(samples[begin : begin + BLOCK_SAMPLES])
            yield
        self._left = samples[n_whole:].copy()

    def flush(self) -> None:
        """Search the samples that wait for the rest of their block."""
        if len(self._left):
            self._take(self._left)
            self._left = self._left[:0]

    def read(self, start: int, end: int) -> Waveform:
        """Return a copy of the samples, which must not have been dropped."""
        return self._samples.read(Span(start=start, end=end))

    def drop_before(self, sample: int) -> None:
        self._samples.drop_before(sample)
        self.speech.drop_before(sample)

    def _take(self, block: Waveform) -> None:
        self._samples.push(block)
        self.speech.push(block)
