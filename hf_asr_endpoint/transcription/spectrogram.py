"""A chunk's log-mel spectrogram, and the windows of it that the encoder gets."""

from __future__ import annotations

import numpy as np
import torch

from hf_asr_endpoint.audio.mel import LogMelSpectrogram
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import HOP_LENGTH, N_FRAMES, N_SAMPLES, SAMPLE_RATE

LENGTH_STEP = 50  # frames, 0.5 s: a window is at most that much longer than it need be
COMPILED_LENGTH_STEP = 200  # where libraries compile code for each new length, as oneDNN does: 10 ms, and 4 MB


class ChunkSpectrogram:
    """The log-mel spectrogram of a chunk, followed by silence as far as a window reaches."""

    def __init__(
        self, waveform: Waveform, *, n_mels: int, encoder_padding_s: float, length_step: int = COMPILED_LENGTH_STEP
    ) -> None:
        """encoder_padding_s: minimum silence after the audio in a window shorter than 30 s, whose frames are a
        multiple of `length_step`, an even number.
        """
        self._length_step = length_step
        self._padding = round(encoder_padding_s * SAMPLE_RATE / HOP_LENGTH)  # frames
        spectrogram = LogMelSpectrogram(n_mels)
        spectrogram.push(waveform)
        self._n_audio = -(-len(waveform) // HOP_LENGTH)  # frames that contain any of the audio's samples
        n_frames = min(self._n_audio + self._padding, N_FRAMES)
        n_silent = min(n_frames * HOP_LENGTH + SAMPLE_RATE // 2, N_SAMPLES) - len(waveform)
        spectrogram.push(np.zeros(max(n_silent, 0), np.float32))
        self._mel = spectrogram.finish()  # (n_mels, n_frames)

    def window(self, begin_s: float, *, end_s: float | None = None, is_whole: bool) -> torch.Tensor:
        """Return the window that begins at `begin_s` of the chunk, shape = (n_mels, n_frames), n_frames even.

        end_s: silence follows from there on; None: from the chunk's end.
        is_whole: all 30 s, as the model was trained; otherwise the audio and at least the padding.
        """
        begin = _frame(begin_s)
        n_wanted = N_FRAMES if is_whole else self.n_frames(begin_s, end_s=end_s)
        if end_s is not None and _frame(end_s) < self._n_audio:
            mel = self._mel[:, begin : min(_frame(end_s), begin + n_wanted)]
            silence = self._mel.min()  # The logarithm is limited to a range below the loudest value.
            return torch.cat([mel, silence.expand(len(mel), n_wanted - mel.shape[1])], dim=1)
        mel = self._mel[:, begin : begin + n_wanted]
        missing = n_wanted - mel.shape[1]
        # The last frame is silence, unless the audio fills the window.
        return torch.cat([mel, self._mel[:, -1:].expand(-1, missing)], dim=1) if missing else mel

    def n_frames(self, begin_s: float, *, end_s: float | None = None) -> int:
        """Return the frames of a window that is not whole, a multiple of the length step."""
        end = self._n_audio if end_s is None else min(_frame(end_s), self._n_audio)
        n_needed = max(end - _frame(begin_s), 0) + self._padding
        return min(self._length_step * -(-n_needed // self._length_step), N_FRAMES)


def _frame(seconds: float) -> int:
    """Return an even frame: the encoder halves their number."""
    return 2 * round(seconds * SAMPLE_RATE / HOP_LENGTH / 2)
