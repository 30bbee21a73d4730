"""Windows on the device: those that come as waveforms get their spectrograms there, all in one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.device.accelerator import Accelerator
from hf_asr_endpoint.whisper.log_mel import LogMel, WaveformWindow, Window


class DeviceSpectrograms:
    """Brings windows to the device as mel frames in the encoder's dtype."""

    def __init__(self, n_mels: int, accelerator: Accelerator, dtype: torch.dtype) -> None:
        self._log_mel = LogMel(n_mels, accelerator.upload)
        self._accelerator, self._dtype = accelerator, dtype

    def __call__(self, windows: Sequence[Window]) -> list[Tensor]:
        """Return the frames of each window, shape = (n_mels, n_frames)."""
        waveforms = [window.waveform for window in windows if isinstance(window, WaveformWindow)]
        mels = iter(self._analyse(waveforms) if waveforms else ())
        return [
            window.cut(next(mels)).to(self._dtype)
            if isinstance(window, WaveformWindow)
            else self._accelerator.upload(window.to(self._dtype))
            for window in windows
        ]

    def _analyse(self, waveforms: Sequence[Tensor]) -> Tensor:
        """Return spectrograms in float32, followed by silence up to the length of the longest."""
        n_samples = max(len(waveform) for waveform in waveforms)
        upload = self._accelerator.upload
        return self._log_mel(torch.stack([F.pad(upload(each), (0, n_samples - len(each))) for each in waveforms]))
