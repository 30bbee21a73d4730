"""Quiet speech made loud for a detector that would take it for noise.

silero-vad's network hears less the quieter a recording is: of 242 clips it misses 14 at -40 dB and 55 at -50, and
in one file a quiet speaker after a loud one. What is transcribed is the recording as it was.
"""

from __future__ import annotations

import numpy as np

from hf_asr_endpoint.audio.speech_detector import Probabilities, SpeechDetector, SpeechStream
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

SPEECH_LEVEL = 10 ** (-25 / 20)  # root mean square of full scale: speech in a recording of common loudness
MAX_GAIN = 10 ** (40 / 20)  # beyond it is the noise of the quietest recorders
LOUD_PART = 0.9  # The level is that of the frame that so many frames of a block do not exceed.
FRAME_SAMPLES = SAMPLE_RATE // 32
SHORT_BLOCK_SAMPLES = SAMPLE_RATE  # In less there may be no speech, and its level says nothing.
RAMP_SAMPLES = SAMPLE_RATE // 4  # A gain that changed at once would be a click.


class LevelledDetector:
    """Has another detector hear each block at about the same level."""

    def __init__(self, detector: SpeechDetector) -> None:
        self._detector = detector

    def stream(self) -> LevelledStream:
        """Begin a recording."""
        return LevelledStream(self._detector.stream())


class LevelledStream:
    """See `SpeechStream`. Blocks should hold a few seconds, for which one gain is right."""

    def __init__(self, stream: SpeechStream) -> None:
        self._stream = stream
        self._gain: float | None = None  # at the end of what has been pushed

    def push(self, block: Waveform) -> Probabilities:
        return self._stream.push(self._levelled(block))

    def finish(self) -> Probabilities:
        return self._stream.finish()

    def _levelled(self, block: Waveform) -> Waveform:
        n_frames = len(block) // FRAME_SAMPLES
        if n_frames == 0:
            return block * np.float32(self._gain or 1)
        gain = _gain_for(block[: n_frames * FRAME_SAMPLES].reshape(n_frames, FRAME_SAMPLES))
        before = gain if self._gain is None else self._gain
        if len(block) < SHORT_BLOCK_SAMPLES:
            gain = min(gain, before)
        self._gain = gain
        levelled = block * np.float32(gain)
        ramp = np.geomspace(before, gain, min(RAMP_SAMPLES, len(block)), dtype=np.float32)
        levelled[: len(ramp)] = block[: len(ramp)] * ramp
        return levelled


def _gain_for(frames: Waveform) -> float:
    """frames: shape = (n_frames, FRAME_SAMPLES)."""
    levels = np.sqrt(np.square(frames).mean(axis=1))
    loud = np.partition(levels, index := int(LOUD_PART * (len(levels) - 1)))[index]
    return min(max(SPEECH_LEVEL / max(float(loud), SPEECH_LEVEL / MAX_GAIN), 1.0), MAX_GAIN)
