"""faster-whisper (CTranslate2), sequentially or in batches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bench.engines.protocol import EngineOptions


class FasterWhisper:
    """One window after another, each with the previous text as its prompt."""

    def __init__(self, options: EngineOptions, *, compute_type: str) -> None:
        self._options = options
        self._compute_type = compute_type
        self._model: Any = None

    def load(self) -> int:
        self._model = load_model(self._options, compute_type=self._compute_type)
        return os.getpid()

    def transcribe(self, path: Path) -> str:
        segments, _ = self._model.transcribe(str(path), beam_size=self._options.n_beams, language="en")
        return " ".join(segment.text for segment in segments)

    def close(self) -> None:
        self._model = None


class BatchedFasterWhisper:
    """Pieces of speech from voice activity detection, `batch_size` at a time, without timestamps."""

    def __init__(self, options: EngineOptions, *, compute_type: str) -> None:
        self._options = options
        self._compute_type = compute_type
        self._pipeline: Any = None

    def load(self) -> int:
        from faster_whisper import BatchedInferencePipeline

        self._pipeline = BatchedInferencePipeline(load_model(self._options, compute_type=self._compute_type))
        return os.getpid()

    def transcribe(self, path: Path) -> str:
        segments, _ = self._pipeline.transcribe(
            str(path),
            batch_size=self._options.batch_size,
            beam_size=self._options.n_beams,
            language="en",
            without_timestamps=True,
        )
        return " ".join(segment.text for segment in segments)

    def close(self) -> None:
        self._pipeline = None


def load_model(options: EngineOptions, *, compute_type: str, n_workers: int = 1) -> Any:
    """Return a WhisperModel. Its workers share the threads."""
    from faster_whisper import WhisperModel

    return WhisperModel(
        options.weights,
        device="cpu",
        compute_type=compute_type,
        cpu_threads=max(1, options.n_threads // n_workers),
        num_workers=n_workers,
    )
