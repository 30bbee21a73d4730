"""Speech probabilities of many recordings at once, on any device.

They equal those of `audio.vad`, which takes one recording on the CPU, but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

N_STEP_SAMPLES, N_CONTEXT_SAMPLES, N_MIRRORED = 512, 64, 64
SPECTRUM_SAMPLES, SPECTRUM_HOP = 256, 128
N_STATE, N_BINS = 128, 129
STRIDES = (1, 2, 2, 1)
WIDTHS = (N_BINS, 128, 64, 64, 128)  # channels before, between and after the convolutions


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechNetwork:
    """silero-vad's layers. convolutions: weight and bias of each."""

    convolutions: list[tuple[Tensor, Tensor]]
    lstm: torch.nn.LSTM
    output: tuple[Tensor, Tensor]

    @classmethod
    def random(cls, device: str) -> SpeechNetwork:
        """Return a network with random weights, for machines without the package."""
        return cls(
            convolutions=[
                (torch.randn((n_out, n_in, 3), device=device) * 0.05, torch.zeros(n_out, device=device))
                for n_in, n_out in pairwise(WIDTHS)
            ],
            lstm=torch.nn.LSTM(N_STATE, N_STATE, device=device).requires_grad_(False),
            output=(torch.randn((1, N_STATE), device=device), torch.zeros(1, device=device)),
        )

    def probabilities(self, waveforms: Tensor) -> Tensor:
        """Return each step's probability of speech, shape = (n, n_samples // N_STEP_SAMPLES).

        waveforms: from the beginning of the recordings on, float32, shape = (n, n_samples).
        """
        n = len(waveforms)
        padded = F.pad(waveforms, (N_CONTEXT_SAMPLES, 0))
        steps = padded.unfold(1, N_CONTEXT_SAMPLES + N_STEP_SAMPLES, N_STEP_SAMPLES)  # (n, n_steps, …)
        mirrored = F.pad(steps.flatten(0, 1)[:, None], (0, N_MIRRORED), mode="reflect")[:, 0]
        frames = mirrored.unfold(1, SPECTRUM_SAMPLES, SPECTRUM_HOP)
        window = torch.hann_window(SPECTRUM_SAMPLES, device=waveforms.device)
        features = torch.fft.rfft(frames * window).abs().transpose(1, 2)  # (n × n_steps, N_BINS, 4)
        for (weight, bias), stride in zip(self.convolutions, STRIDES, strict=True):
            features = F.conv1d(features, weight, bias, stride=stride, padding=1).relu_()
        inputs = features[:, :, 0].view(n, -1, N_STATE).transpose(0, 1)  # The LSTM takes steps first.
        hidden, _ = self.lstm(inputs)
        return F.linear(hidden.relu_(), *self.output).sigmoid_()[:, :, 0].t()
