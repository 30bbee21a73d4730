"""whisper.cpp through pywhispercpp."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import soundfile

from bench.engines.protocol import EngineOptions


class WhisperCpp:
    """float16 weights, with its own segmentation."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._model: Any = None

    def load(self) -> int:
        from pywhispercpp.model import Model

        beams = self._options.n_beams > 1
        self._model = Model(
            self._options.weights,
            params_sampling_strategy=int(beams),  # 0: greedy, 1: beam search
            n_threads=self._options.n_threads,
            language="en",
            single_segment=False,
            **({"beam_search": {"beam_size": self._options.n_beams, "patience": -1.0}} if beams else {}),
            print_progress=False,
            redirect_whispercpp_logs_to=None,
        )
        return os.getpid()

    def transcribe(self, path: Path) -> str:
        waveform, _ = soundfile.read(path, dtype="float32")  # Without ffmpeg, its own reader takes only wav.
        return " ".join(segment.text for segment in self._model.transcribe(waveform))

    def close(self) -> None:
        self._model = None
