"""What was wrong in transformers' generate, shown on real weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationMixin

from hf_asr_endpoint.audio.mel import LogMelSpectrogram
from hf_asr_endpoint.transcription.generate_arguments import generate_arguments
from hf_asr_endpoint.transcription.lean_whisper import LeanWhisper
from hf_asr_endpoint.types import DecodingOptions
from hf_asr_endpoint.units import N_SAMPLES
from hf_asr_endpoint.whisper.checkpoint import load_checkpoint
from hf_asr_endpoint.whisper.weights.resolve import resolve_model


class RecordingWhisper(LeanWhisper):
    """Remembers the detectors of silence."""

    def generate_with_fallback(self, *args: Any, **kwargs: Any) -> Any:
        self.detectors = [p for p in kwargs["logits_processor"] if hasattr(p, "no_speech_prob")]
        return super().generate_with_fallback(*args, **kwargs)


@pytest.fixture(scope="module")
def model(cache_dir: Path) -> RecordingWhisper:
    directory = resolve_model(
        "embedded:whisper-tiny.en", revision=None, cache_dir=cache_dir, report=lambda _: None
    )
    model = load_checkpoint(directory, device="cpu", dtype="float32", model_class=RecordingWhisper).model
    assert isinstance(model, RecordingWhisper)
    return model


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    """Two windows of noise."""
    spectrogram = LogMelSpectrogram(80)
    spectrogram.push(np.random.default_rng(0).normal(0, 0.1, N_SAMPLES + 16_000).astype(np.float32))
    return spectrogram.finish()[None]


def generate(
    model: RecordingWhisper, mel: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[int, float]]:
    """Return (number of beams, temperature) of each attempt at a window."""
    attempts: list[tuple[int, float]] = []
    inner = GenerationMixin.generate

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        config = kwargs["generation_config"]
        attempts.append((config.num_beams, config.temperature if config.do_sample else 0.0))
        return inner(self, *args, **kwargs)

    monkeypatch.setattr(GenerationMixin, "generate", watched)
    options = DecodingOptions(temperatures=(0.0, 1.0), num_beams=2, max_new_tokens=12)
    # Thresholds that every attempt fails and nothing passes for silence.
    always_fail = {"logprob_threshold": 0.0, "no_speech_threshold": 1.1}
    arguments = {**generate_arguments(options, n_prompt_tokens=1), **always_fail}
    torch.manual_seed(0)
    model.generate(mel, return_timestamps=True, return_segments=True, condition_on_prev_tokens=False, **arguments)
    return attempts


def test_a_fallback_in_one_window_leaves_the_beams_of_the_next(
    model: RecordingWhisper, noise: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fallback set the number of beams to 1 for the rest of the recording, which was then decoded greedily."""
    attempts = generate(model, noise, monkeypatch)
    assert attempts[:4] == [(2, 0.0), (1, 1.0)] * 2


def test_the_probability_of_silence_is_one_also_after_a_fallback(
    model: RecordingWhisper, noise: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In English-only models it was up to 10^8 once a window with beams fell back, and speech was dropped."""
    generate(model, noise, monkeypatch)
    (detector,) = model.detectors
    assert all(0 <= float(probability) <= 1 for probability in detector.no_speech_prob)
