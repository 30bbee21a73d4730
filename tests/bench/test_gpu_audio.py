"""Speech probabilities of several recordings at once are those of each alone."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.gpu import internals
from hf_asr_endpoint.audio.vad import VoiceActivityDetector


def waveforms() -> Tensor:
    """Three recordings of 2 s: noise that swells at different times."""
    generator = torch.Generator().manual_seed(0)
    swelling = torch.linspace(0, 6, 32_000).add(torch.arange(3)[:, None]).sin().square()
    return torch.randn((3, 32_000), generator=generator) * swelling * 0.1


def test_speech_probabilities_together_equal_each_alone() -> None:
    found = internals.speech_network().probabilities(waveforms())
    for row, waveform in zip(found, waveforms(), strict=True):
        expected = torch.from_numpy(VoiceActivityDetector().stream().push(waveform.numpy()))
        torch.testing.assert_close(row[: len(expected)], expected, atol=1e-4, rtol=1e-3)
        assert len(expected) > 60
