"""Amplifies quiet speech before it is detected. Knows no network; the recording itself stays as it is.

silero-vad's network finds less speech the quieter a recording is: of 242 clips it misses 14 at -40 dB and 55 at
-50 dB, and in one file a quiet speaker after a loud one.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hf_asr_endpoint.audio.speech_spans import Probabilities, SpeechDetector, SpeechStream
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

SPEECH_LEVEL = 10 ** (-25 / 20)  # root mean square, relative to full scale, of speech at a common loudness
MAX_GAIN = 10 ** (40 / 20)  # More would amplify the noise of the quietest recorders to speech.
LOUD_QUANTILE = 0.9  # of the levels around a frame: the level that its gain brings to SPEECH_LEVEL
FRAME_SAMPLES = SAMPLE_RATE // 32
WINDOW_FRAMES = 48
"""Frames around a frame, 1.5 s, that decide its gain. More, and a loud speaker hides a quiet one before or after;
fewer, and a breath in an ordinary pause becomes as loud as speech."""
RAMP_FRAMES = 8  # The gain changes over these; a sudden change is a click.


class LevelledDetector:
    """Passes recordings to another detector at about the same level throughout."""

    def __init__(self, detector: SpeechDetector) -> None:
        self._detector = detector

    def stream(self) -> LevelledStream:
        """Begin a recording."""
        return LevelledStream(self._detector.stream())


class LevelledStream:
    """A `SpeechStream`. Blocks should have a few seconds, because the gain does not depend on later blocks."""

    def __init__(self, stream: SpeechStream) -> None:
        self._stream = stream
        self._levels = np.zeros(0, np.float32)  # of the last frames, at most WINDOW_FRAMES
        self._log_gains = np.zeros(0, np.float32)  # of the last RAMP_FRAMES frames, before smoothing

    def push(self, block: Waveform) -> Probabilities:
        return self._stream.push(self._levelled(block))

    def finish(self) -> Probabilities:
        return self._stream.finish()

    def _levelled(self, block: Waveform) -> Waveform:
        n_frames = len(block) // FRAME_SAMPLES
        n_framed = n_frames * FRAME_SAMPLES
        gains = self._gains(block[:n_framed].reshape(n_frames, FRAME_SAMPLES))
        step = np.arange(FRAME_SAMPLES, dtype=np.float32) / FRAME_SAMPLES
        ramps = gains[:-1, None] + np.diff(gains)[:, None] * step  # (n_frames, FRAME_SAMPLES)
        levelled: Waveform = block * gains[-1]
        levelled[:n_framed] = block[:n_framed] * ramps.ravel()
        return levelled

    def _gains(self, frames: Waveform) -> Waveform:
        """Return the gain at the beginning of the first frame and at the end of each frame.

        frames: shape = (n_frames, FRAME_SAMPLES).
        """
        levels = np.concatenate([self._levels, np.sqrt(np.square(frames).mean(axis=1))])
        log_gains = np.log(_gains_for(levels)[len(self._levels) :]) if len(levels) else np.zeros(1, np.float32)
        before = self._log_gains if len(self._log_gains) else np.repeat(log_gains[:1], RAMP_FRAMES)
        log_gains = np.concatenate([before, log_gains[: len(frames)]])
        self._levels, self._log_gains = levels[-WINDOW_FRAMES:], log_gains[-RAMP_FRAMES:]
        average = np.full(RAMP_FRAMES, 1 / RAMP_FRAMES, np.float32)
        gains: Waveform = np.exp(np.convolve(log_gains, average, mode="valid"))
        return gains


def _gains_for(levels: Waveform) -> Waveform:
    """Return each frame's gain by the levels of the frames around it, as far as they are known."""
    windows = sliding_window_view(levels, min(WINDOW_FRAMES, len(levels)))
    index = int(LOUD_QUANTILE * (windows.shape[1] - 1))
    loud = np.partition(windows, index, axis=1)[:, index]
    first = np.arange(len(levels)) - WINDOW_FRAMES // 2
    loud = loud[np.clip(first, 0, len(loud) - 1)]
    gains: Waveform = np.clip(SPEECH_LEVEL / np.maximum(loud, SPEECH_LEVEL / MAX_GAIN), 1, MAX_GAIN)
    return gains
