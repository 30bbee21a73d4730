"""Waveforms to a model's input tensors, by the model's own feature extractor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.utils.import_utils import is_librosa_available

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE


class AudioInput:
    """Calls a feature extractor, and resamples for a model that wants another rate."""

    def __init__(self, extractor: Any, *, device: torch.device, dtype: torch.dtype) -> None:
        """Raises ModelUnavailable where a package is missing."""
        self._extractor = extractor
        self._device = device
        self._dtype = dtype
        self.sample_rate = int(extractor.sampling_rate)
        if self.sample_rate != SAMPLE_RATE and not is_librosa_available():
            raise ModelUnavailable(
                f"the model takes {self.sample_rate} samples per second, and librosa, which resamples for it, is "
                "not installed: pip install 'hf-asr-endpoint[transformers]'"
            )

    def make(self, waveforms: Sequence[Waveform], **arguments: Any) -> dict[str, Tensor]:
        """Return the tensors of a batch. arguments: of the feature extractor. Waveforms are at SAMPLE_RATE."""
        return self.move(
            self._extractor(
                self.resample(waveforms), sampling_rate=self.sample_rate, return_tensors="pt", **arguments
            )
        )

    def resample(self, waveforms: Sequence[Waveform]) -> list[Waveform]:
        """Return waveforms at the model's rate."""
        return [self._resampled(waveform) for waveform in waveforms]

    def move(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a model's inputs on its device, with its precision."""
        return {
            name: tensor.to(self._device, self._dtype) if tensor.is_floating_point() else tensor.to(self._device)
            for name, tensor in inputs.items()
        }

    def _resampled(self, waveform: Waveform) -> Waveform:
        if self.sample_rate == SAMPLE_RATE:
            return waveform
        import librosa  # Few models need it, and the import takes most of a second.

        resampled: Waveform = librosa.resample(waveform, orig_sr=SAMPLE_RATE, target_sr=self.sample_rate)
        return resampled
