"""Log-mel spectrogram of a waveform that arrives in blocks.

The values equal those of transformers' WhisperFeatureExtractor over the whole recording, and so those of
`log_mel_spectrogram` in openai/whisper's `audio.py`, but the waveform is never held as a whole. Knows no chunks.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import torch

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import HOP_LENGTH, N_FFT, SAMPLE_RATE

MIRRORED = N_FFT // 2  # samples reflected at both ends: they centre frame i on sample i × HOP_LENGTH
DYNAMIC_RANGE = 8.0  # in log10 units: quieter points are raised to this far below the loudest

LINEAR_HZ, LINEAR_MELS = 1_000.0, 15.0  # end of the linear part of the mel scale (Slaney's Auditory Toolbox)
LOG_STEP = math.log(6.4) / 27  # above it, the increase of the frequency's logarithm per mel


class LogMelSpectrogram:
    """Computes the mel frames of one recording: `push` blocks of any length, then `finish` once.

    The recording must have more than MIRRORED samples; pad a shorter one with zeros.
    """

    def __init__(self, n_mels: int) -> None:
        self._filters = _mel_filters(n_mels)  # (n_mels, N_FFT // 2 + 1)
        self._window = torch.hann_window(N_FFT)
        self._waiting = np.zeros(0, np.float32)  # samples from the beginning of the next frame on
        self._parts: list[torch.Tensor] = []  # each (n_mels, n_frames), log10 of the power
        self._has_begun = False
        self.n_samples = 0

    def push(self, block: Waveform) -> None:
        """Add samples, shape = (n_samples,)."""
        self.n_samples += len(block)
        self._waiting = np.concatenate([self._waiting, block])
        if not self._has_begun:
            if self.n_samples <= MIRRORED:
                return
            self._waiting = np.concatenate([self._waiting[MIRRORED:0:-1], self._waiting])
            self._has_begun = True
        self._analyse()

    def finish(self) -> torch.Tensor:
        """Return the normalised spectrogram, float32, shape = (n_mels, n_samples // HOP_LENGTH)."""
        if not self._has_begun:
            raise ValueError(f"{self.n_samples} samples; a spectrogram needs more than {MIRRORED}")
        tail = self._waiting[-MIRRORED - 1 : -1][::-1]
        self._waiting = np.concatenate([self._waiting, tail])
        self._analyse()
        # Whisper leaves out the frame that is centred on the end.
        mel = torch.cat(self._parts, dim=1)[:, : self.n_samples // HOP_LENGTH]
        self._parts.clear()
        torch.maximum(mel, mel.max() - DYNAMIC_RANGE, out=mel)
        return mel.add_(4.0).div_(4.0)

    def _analyse(self) -> None:
        n_frames = (len(self._waiting) - N_FFT) // HOP_LENGTH + 1
        if n_frames <= 0:
            return
        n_used = (n_frames - 1) * HOP_LENGTH + N_FFT
        spectrum = torch.stft(
            torch.from_numpy(self._waiting[:n_used]),
            N_FFT,
            HOP_LENGTH,
            window=self._window,
            center=False,
            return_complex=True,
        )
        power = spectrum.abs().square_()  # (n_fft // 2 + 1, n_frames)
        self._parts.append((self._filters @ power).clamp_(min=1e-10).log10_())
        self._waiting = self._waiting[n_frames * HOP_LENGTH :]


@functools.cache
def _mel_filters(n_mels: int) -> torch.Tensor:
    """Return triangles of equal area, evenly spaced on Slaney's mel scale, shape = (n_mels, N_FFT // 2 + 1).

    They equal `librosa.filters.mel`. Importing librosa takes 0.6 s and 80 MB, and transformers' `mel_filter_bank`
    as long.
    """
    highest = LINEAR_MELS + math.log(SAMPLE_RATE / 2 / LINEAR_HZ) / LOG_STEP
    edges = _hertz(np.linspace(0.0, highest, n_mels + 2))
    bins = np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    areas = (edges[2:] - edges[:-2]) / 2
    return torch.from_numpy((triangles / areas[:, None]).astype(np.float32))


def _hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    linear = mels * (LINEAR_HZ / LINEAR_MELS)
    return np.where(mels < LINEAR_MELS, linear, LINEAR_HZ * np.exp(LOG_STEP * (mels - LINEAR_MELS)))
