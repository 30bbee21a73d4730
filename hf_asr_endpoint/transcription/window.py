"""A chunk's mel frames, and the windows of them that the encoder is given."""

from __future__ import annotations

import numpy as np
import torch

from hf_asr_endpoint.audio.mel import LogMelSpectrogram
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import HOP_LENGTH, N_FRAMES, N_SAMPLES, SAMPLE_RATE

LENGTH_STEP = 200  # frames, 2 s: for each new length oneDNN makes kernels, which take 10 ms and 4 MB


class ChunkSpectrogram:
    """The log-mel spectrogram of a chunk, with silence behind it as far as a window reaches."""

    def __init__(self, waveform: Waveform, *, n_mels: int, padding_s: float) -> None:
        """padding_s: least silence behind the audio in a window that is not whole; at most up to 30 s in all."""
        self._padding = round(padding_s * SAMPLE_RATE / HOP_LENGTH)  # frames
        spectrogram = LogMelSpectrogram(n_mels)
        spectrogram.push(waveform)
        self._n_audio = -(-len(waveform) // HOP_LENGTH)  # frames that hear any of the audio's samples
        n_frames = min(self._n_audio + self._padding, N_FRAMES)
        n_silent = min(n_frames * HOP_LENGTH + SAMPLE_RATE // 2, N_SAMPLES) - len(waveform)
        spectrogram.push(np.zeros(max(n_silent, 0), np.float32))
        self._mel = spectrogram.finish()  # (n_mels, n_frames)

    def window(self, begin_s: float, *, is_whole: bool) -> torch.Tensor:
        """Return the frames from a time in the chunk on, shape = (n_mels, n_frames), n_frames even.

        is_whole: all 30 s, as the model was trained; otherwise what audio there is and at least the padding.
        """
        begin = 2 * round(begin_s * SAMPLE_RATE / HOP_LENGTH / 2)
        n_wanted = N_FRAMES if is_whole else self.n_frames(begin_s)
        mel = self._mel[:, begin : begin + n_wanted]
        missing = n_wanted - mel.shape[1]
        # The last frame hears nothing but silence, unless the audio fills the window.
        return torch.cat([mel, self._mel[:, -1:].expand(-1, missing)], dim=1) if missing else mel

    def n_frames(self, begin_s: float) -> int:
        """Return how many frames a window that is not whole has, a multiple of LENGTH_STEP."""
        begin = 2 * round(begin_s * SAMPLE_RATE / HOP_LENGTH / 2)
        n_least = max(self._n_audio - begin, 0) + self._padding
        return min(LENGTH_STEP * -(-n_least // LENGTH_STEP), N_FRAMES)
