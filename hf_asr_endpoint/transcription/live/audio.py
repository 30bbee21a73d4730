"""The audio of a session as far as it is still needed, and the speech in it. Counts in samples of the session.

Audio is searched in blocks. One of them costs the network less than several short ones, so that audio in which
nobody speaks waits until there is more of it; whatever is louder ends the wait at once. The same speech is found,
and of quiet speech a little more, because the gain looks further ahead in longer blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hf_asr_endpoint.audio.chunking import RecentSamples
from hf_asr_endpoint.audio.speech_spans import N_STEP_SAMPLES, Span, SpeechStream
from hf_asr_endpoint.transcription.live.speech import SpeechTracker
from hf_asr_endpoint.types import Waveform

BLOCK_SAMPLES = 3 * N_STEP_SAMPLES  # 96 ms
IDLE_SAMPLES = 6 * BLOCK_SAMPLES  # 0.58 s


class NoiseFloor:
    """How loud it is where nobody speaks: the quietest block lately."""

    RISE = 1.02  # for each block, 1.8 dB a second: a fan that is switched on soon counts as noise
    FIRST, LEAST = 1e-3, 1e-4  # -60 and -80 dB of full scale
    LOUDER = 2.0  # 6 dB: a block above it may be the beginning of speech

    def __init__(self) -> None:
        self._level = self.FIRST

    def hears(self, block: Waveform) -> bool:
        """Take a block, and return whether it is louder than the noise."""
        level = float(np.sqrt(np.square(block).mean()))
        self._level = max(min(level, self._level * self.RISE), self.LEAST)
        return level > self.LOUDER * self._level


class SessionAudio:
    """Takes samples of any number, and searches them for speech block by block."""

    def __init__(self, stream: SpeechStream, *, threshold: float) -> None:
        self.speech = SpeechTracker(stream, threshold=threshold)
        self.may_wait = False
        """Whether nobody minds if a block is searched a little later, when it is not louder than noise."""
        self._noise = NoiseFloor()
        self._samples = RecentSamples()
        self._left: Waveform = np.zeros(0, np.float32)  # blocks that wait, and less than one
        self._n_heard = 0  # samples of blocks that wait

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
        samples, begin = np.concatenate([self._left, samples]), 0
        for end in range(self._n_heard + BLOCK_SAMPLES, len(samples) + 1, BLOCK_SAMPLES):
            is_loud = self._noise.hears(samples[end - BLOCK_SAMPLES : end])
            can_wait = self.may_wait and not (is_loud or self.speech.hears_something)
            self._n_heard = end - begin
            if can_wait and self._n_heard < IDLE_SAMPLES:
                continue
            self._left, self._n_heard = samples[end:], 0
            self._take(samples[begin:end])
            begin = end
            yield
        self._left = samples[begin:].copy()

    def flush(self) -> None:
        """Search the samples that wait for the rest of their block."""
        if len(self._left):
            self._take(self._left)
            self._left, self._n_heard = self._left[:0], 0

    def read(self, start: int, end: int) -> Waveform:
        """Return a copy of the samples, which must not have been dropped."""
        return self._samples.read(Span(start=start, end=end))

    def drop_before(self, sample: int) -> None:
        self._samples.drop_before(sample)
        self.speech.drop_before(sample)

    def _take(self, block: Waveform) -> None:
        self._samples.push(block)
        self.speech.push(block)
