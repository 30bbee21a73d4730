"""transformers' pipeline in float32, with each of its two methods for long recordings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import soundfile

from bench.engines.protocol import EngineOptions


class TransformersPipeline:
    """Overlapping chunks of 30 s, `batch_size` at a time, without timestamps. The pipeline merges the overlaps."""

    _pipeline_options: Mapping[str, Any] = {"chunk_length_s": 30}
    _call_options: Mapping[str, Any] = {}

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._pipeline: Any = None

    def load(self) -> int:
        import torch
        from transformers import pipeline

        torch.set_num_threads(self._options.n_threads)
        self._pipeline = pipeline(
            "automatic-speech-recognition",
            model=self._options.weights,
            dtype=torch.float32,
            batch_size=self._options.batch_size,
            **self._pipeline_options,
        )
        return os.getpid()

    def transcribe(self, path: Path) -> str:
        waveform, rate = soundfile.read(
            path, dtype="float32"
        )  # The pipeline's own reader needs the ffmpeg command.
        is_multilingual = self._pipeline.model.generation_config.is_multilingual
        language = {"language": "en", "task": "transcribe"} if is_multilingual else {}
        answer = self._pipeline(
            {"raw": waveform, "sampling_rate": rate},
            generate_kwargs={"num_beams": self._options.n_beams, "do_sample": False, **language},
            **self._call_options,
        )
        text: str = answer["text"]
        return text

    def close(self) -> None:
        self._pipeline = None


class SequentialTransformersPipeline(TransformersPipeline):
    """One window after another, each from the last timestamp of the previous one, as transformers recommends."""

    _pipeline_options: Mapping[str, Any] = {}
    _call_options: Mapping[str, Any] = {"return_timestamps": True}
