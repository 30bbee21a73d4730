"""transformers' own pipeline: overlapping chunks of 30 s, several in a batch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import soundfile

from bench.engines.protocol import EngineOptions


class TransformersPipeline:
    """float32 and greedy, without timestamps."""

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
            chunk_length_s=30,
            batch_size=self._options.batch_size,
        )
        return os.getpid()

    def transcribe(self, path: Path) -> str:
        waveform, rate = soundfile.read(path, dtype="float32")  # Its own reader wants the command ffmpeg.
        is_multilingual = self._pipeline.model.generation_config.is_multilingual
        language = {"language": "en", "task": "transcribe"} if is_multilingual else {}
        answer = self._pipeline(
            {"raw": waveform, "sampling_rate": rate},
            generate_kwargs={"num_beams": 1, "do_sample": False, **language},
        )
        text: str = answer["text"]
        return text

    def close(self) -> None:
        self._pipeline = None
