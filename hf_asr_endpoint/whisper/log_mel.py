"""Log-mel spectrograms of waveforms, on any device, and the windows that are cut out of them.

The values equal those of transformers' WhisperFeatureExtractor, and so those of `log_mel_spectrogram` in
openai/whisper's `audio.py`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hf_asr_endpoint.units import HOP_LENGTH, N_FFT, SAMPLE_RATE

MIRRORED = N_FFT // 2  # samples reflected at both ends: they centre frame i on sample i × HOP_LENGTH
DYNAMIC_RANGE = 8.0  # in log10 units: quieter points are raised to this far below the loudest

LINEAR_HZ, LINEAR_MELS = 1_000.0, 15.0  # end of the linear part of the mel scale (Slaney's Auditory Toolbox)
LOG_STEP = math.log(6.4) / 27  # above it, the increase of the frequency's logarithm per mel


class LogMel:
    """Computes spectrograms where its filters are."""

    def __init__(self, n_mels: int, upload: Callable[[Tensor], Tensor] = lambda tensor: tensor) -> None:
        """upload: brings a tensor to another device."""
        self._filters = upload(torch.from_numpy(_mel_filters(n_mels)))  # (n_mels, N_FFT // 2 + 1)
        # transformers changes torch's default dtype while it loads another model.
        self._window = upload(torch.hann_window(N_FFT, dtype=torch.float32))

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Return each waveform's spectrogram, normalised by its loudest point.

        waveforms: float32, shape = (n, n_samples), more than MIRRORED samples. Returns float32, shape =
        (n, n_mels, n_samples // HOP_LENGTH).
        """
        spectra = torch.stft(waveforms, N_FFT, HOP_LENGTH, window=self._window, return_complex=True)
        # Whisper leaves out the frame that is centred on the end.
        spectra = spectra[:, :, :-1]
        # torch's own magnitude takes three times as long.
        power = spectra.real.square().add_(spectra.imag.square())  # (n, N_FFT // 2 + 1, n_frames)
        mels = torch.matmul(self._filters, power).clamp_(min=1e-10).log10_()
        floors = mels.amax(dim=(1, 2), keepdim=True) - DYNAMIC_RANGE
        return torch.maximum(mels, floors, out=mels).add_(4.0).div_(4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which frames of a chunk's spectrogram are a window: from `begin` on, `n_frames` in all.

    end: the frame from which on silence follows; None: what follows the audio in the spectrogram.
    """

    begin: int
    end: int | None
    n_frames: int

    def __call__(self, mel: Tensor) -> Tensor:
        """Return the window, shape = (n_mels, n_frames). mel: the chunk's spectrogram."""
        end = self.begin + self.n_frames
        frames = mel[:, self.begin : end if self.end is None else min(self.end, end)]
        n_missing = self.n_frames - frames.shape[1]
        if not n_missing:
            return frames
        # Silence is the lowest value, because the logarithm is limited to a range below the loudest one. The last
        # frame is silence, unless the audio fills the window.
        silence = mel[:, -1:] if self.end is None else mel.min()
        return torch.cat([frames, silence.expand(len(mel), n_missing)], dim=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WaveformWindow:
    """A window whose spectrogram the model computes.

    waveform: of its chunk, float32, shape = (n_samples,). It has N_SAMPLES, or ends with half a second of silence:
    more silence after it changes nothing.
    """

    waveform: Tensor
    cut: Cut


Window = Tensor | WaveformWindow
"""What models encode. A tensor: mel frames, float32, shape = (n_mels, n_frames)."""


def frames_of(window: Window) -> int:
    """Return the number of a window's mel frames."""
    return window.cut.n_frames if isinstance(window, WaveformWindow) else window.shape[1]


@functools.cache
def _mel_filters(n_mels: int) -> npt.NDArray[np.float32]:
    """Return triangles of equal area, evenly spaced on Slaney's mel scale, shape = (n_mels, N_FFT // 2 + 1).

    They equal `librosa.filters.mel`. Importing librosa takes 0.6 s and 80 MB, and transformers' `mel_filter_bank`
    as long. They are not kept as a tensor, because a tensor keeps the mode in which it was made, such as torch's
    inference mode.
    """
    highest = LINEAR_MELS + math.log(SAMPLE_RATE / 2 / LINEAR_HZ) / LOG_STEP
    edges = _hertz(np.linspace(0.0, highest, n_mels + 2))
    bins = np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    areas = (edges[2:] - edges[:-2]) / 2
    return (triangles / areas[:, None]).astype(np.float32)


def _hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    linear = mels * (LINEAR_HZ / LINEAR_MELS)
    return np.where(mels < LINEAR_MELS, linear, LINEAR_HZ * np.exp(LOG_STEP * (mels - LINEAR_MELS)))
