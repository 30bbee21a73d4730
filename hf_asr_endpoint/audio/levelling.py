"""Quiet speech made loud for a detector that would take it for noise.

silero-vad's network hears less the quieter a recording is: of 242 clips it misses 14 at -40 dB and 55 at -50, and
in one file a quiet speaker after a loud one. What is transcribed is the recording as it was.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hf_asr_endpoint.audio.speech_detector import Probabilities, SpeechDetector, SpeechStream
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

SPEECH_LEVEL = 10 ** (-25 / 20)  # root mean square of full scale: speech in a recording of common loudness
MAX_GAIN = 10 ** (40 / 20)  # beyond it is the noise of the quietest recorders
LOUD_PART = 0.9  # The level is that of the frame that so many frames around do not exceed.
FRAME_SAMPLES = SAMPLE_RATE // 32
WINDOW_FRAMES = 48
"""Frames around one, 1.5 s, that are levelled as one: not so many that somebody loud hides who speaks before or
after, nor so few that the breath in a common pause becomes as loud as speech."""
RAMP_FRAMES = 8  # A gain that changed at once would be a click.


class LevelledDetector:
    """Has another detector hear a recording at about the same level throughout."""

    def __init__(self, detector: SpeechDetector) -> None:
        self._detector = detector

    def stream(self) -> LevelledStream:
        """Begin a recording."""
        return LevelledStream(self._detector.stream())


class LevelledStream:
    """See `SpeechStream`. Of what follows a block nothing is known, so blocks should hold a few seconds."""

    def __init__(self, stream: SpeechStream) -> None:
        self._stream = stream
        self._levels = np.zeros(0, np.float32)  # of the last frames, WINDOW_FRAMES at most
        self._wanted = np.zeros(0, np.float32)  # logarithms of the last RAMP_FRAMES frames' gains

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
        """Return the gain at the first frame's beginning and at each one's end.

        frames: shape = (n_frames, FRAME_SAMPLES).
        """
        levels = np.concatenate([self._levels, np.sqrt(np.square(frames).mean(axis=1))])
        wanted = np.log(_wanted(levels)[len(self._levels) :]) if len(levels) else np.zeros(1, np.float32)
        before = self._wanted if len(self._wanted) else np.repeat(wanted[:1], RAMP_FRAMES)
        wanted = np.concatenate([before, wanted[: len(frames)]])
        self._levels, self._wanted = levels[-WINDOW_FRAMES:], wanted[-RAMP_FRAMES:]
        ramp = np.full(RAMP_FRAMES, 1 / RAMP_FRAMES, np.float32)
        gains: Waveform = np.exp(np.convolve(wanted, ramp, mode="valid"))
        return gains


def _wanted(levels: Waveform) -> Waveform:
    """Return each frame's gain, by the levels of as many frames on either side, or what is known of them."""
    windows = sliding_window_view(levels, min(WINDOW_FRAMES, len(levels)))
    index = int(LOUD_PART * (windows.shape[1] - 1))
    loud = np.partition(windows, index, axis=1)[:, index]
    first = np.arange(len(levels)) - WINDOW_FRAMES // 2
    loud = loud[np.clip(first, 0, len(loud) - 1)]
    gains: Waveform = np.clip(SPEECH_LEVEL / np.maximum(loud, SPEECH_LEVEL / MAX_GAIN), 1, MAX_GAIN)
    return gains
