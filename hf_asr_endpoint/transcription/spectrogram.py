"""A chunk's log-mel spectrogram, and the windows of it that the encoder gets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import HOP_LENGTH, N_FRAMES, N_SAMPLES, SAMPLE_RATE
from hf_asr_endpoint.whisper.log_mel import Cut, LogMel, WaveformWindow, Window

LENGTH_STEP = 50  # frames, 0.5 s: a window is at most that much longer than it need be
COMPILED_LENGTH_STEP = 200  # where libraries compile code for each new length, as oneDNN does: 10 ms, and 4 MB


class ChunkSpectrogram:
    """The log-mel spectrogram of a chunk, followed by silence as far as a window reaches."""

    def __init__(
        self,
        waveform: Waveform,
        *,
        n_mels: int,
        encoder_padding_s: float,
        length_step: int = COMPILED_LENGTH_STEP,
        is_left_to_model: bool = False,
    ) -> None:
        """encoder_padding_s: minimum silence after the audio in a window shorter than 30 s, whose frames are a
        multiple of `length_step`, an even number. is_left_to_model: computes nothing; windows have waveforms.
        """
        self._length_step = length_step
        self._padding = round(encoder_padding_s * SAMPLE_RATE / HOP_LENGTH)  # frames
        self._n_audio = -(-len(waveform) // HOP_LENGTH)  # frames that contain any of the audio's samples
        n_frames = min(self._n_audio + self._padding, N_FRAMES)
        n_silent = min(n_frames * HOP_LENGTH + SAMPLE_RATE // 2, N_SAMPLES) - len(waveform)
        padded = torch.from_numpy(np.pad(waveform, (0, max(n_silent, 0))))
        # Either the waveform, or its spectrogram, shape = (n_mels, n_frames)
        self._waveform = padded if is_left_to_model else None
        self._mel = None if is_left_to_model else LogMel(n_mels)(padded[None])[0]

    def __getstate__(self) -> dict[str, Any]:
        """For another process: tensors as arrays, which protocol 5 of pickle need not copy."""
        return {
            name: value.numpy() if isinstance(value, torch.Tensor) else value for name, value in vars(self).items()
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, torch.from_numpy(value) if isinstance(value, np.ndarray) else value)

    def window(self, begin_s: float, *, end_s: float | None = None, is_whole: bool) -> Window:
        """Return the window that begins at `begin_s` of the chunk; its number of frames is even.

        end_s: silence follows from there on; None: from the chunk's end.
        is_whole: all 30 s, as the model was trained; otherwise the audio and at least the padding.
        """
        end = None if end_s is None or _frame(end_s) >= self._n_audio else _frame(end_s)
        n_frames = N_FRAMES if is_whole else self.n_frames(begin_s, end_s=end_s)
        cut = Cut(begin=_frame(begin_s), end=end, n_frames=n_frames)
        if self._waveform is not None:
            return WaveformWindow(waveform=self._waveform, cut=cut)
        assert self._mel is not None
        return cut(self._mel)

    def n_frames(self, begin_s: float, *, end_s: float | None = None) -> int:
        """Return the frames of a window that is not whole, a multiple of the length step."""
        end = self._n_audio if end_s is None else min(_frame(end_s), self._n_audio)
        n_needed = max(end - _frame(begin_s), 0) + self._padding
        return min(self._length_step * -(-n_needed // self._length_step), N_FRAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectrogramMaker:
    """Makes the spectrograms that a model needs; the fields are as of ChunkSpectrogram."""

    n_mels: int
    encoder_padding_s: float
    length_step: int = COMPILED_LENGTH_STEP
    is_left_to_model: bool = False

    def __call__(self, waveform: Waveform, *, max_padding_s: float = math.inf) -> ChunkSpectrogram:
        """max_padding_s: silence behind the audio, at most."""
        return ChunkSpectrogram(
            waveform,
            n_mels=self.n_mels,
            encoder_padding_s=min(self.encoder_padding_s, max_padding_s),
            length_step=self.length_step,
            is_left_to_model=self.is_left_to_model,
        )


def _frame(seconds: float) -> int:
    """Return an even frame: the encoder halves their number."""
    return 2 * round(seconds * SAMPLE_RATE / HOP_LENGTH / 2)
