"""Measures one engine on one checkpoint in this process and prints a line of JSON.

Run by `bench.shapes`. Imports as little as possible before loading, so that time and memory are the engine's own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.peak_memory import peak_rss_mib

WINDOWS_S = (10, 30)
ROWS = (1, 8, 16)
N_WINDOWS = 2
N_STEPS = 8
N_SLOTS = max(ROWS)
FRAMES_PER_S = 100
SOT = 50_258
N_THREADS = int(os.environ["OMP_NUM_THREADS"])  # read by torch's OpenMP, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """load_s: imports included. windows_ms: by length in seconds. steps_ms: by rows. peak_mib: at the end."""

    load_s: float
    loaded_mib: float | None
    windows_ms: dict[str, float]
    steps_ms: dict[str, float]
    peak_mib: float | None


class Engine(Protocol):
    """Encodes random windows and decodes random tokens."""

    def encode(self, n_frames: int) -> None:
        """Encode one window."""
        ...

    def step_s(self, n_rows: int) -> float:
        """Return the seconds of one step of n_rows sequences, each with a window of 30 s."""
        ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=list(LOADERS))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--cpu-level", default="auto", help="of this project's kernels")
    parser.add_argument("--load-only", action="store_true", help="load the model and measure nothing")
    arguments = parser.parse_args()
    began = _now()
    engine = LOADERS[arguments.engine](arguments.directory, arguments.cpu_level)
    load_s, loaded_mib = _now() - began, peak_rss_mib(os.getpid())
    if arguments.load_only:
        return
    result = Result(
        load_s=load_s,
        loaded_mib=loaded_mib,
        windows_ms={str(seconds): 1e3 * _window_s(engine, seconds) for seconds in WINDOWS_S},
        steps_ms={str(n_rows): 1e3 * engine.step_s(n_rows) for n_rows in ROWS},
        peak_mib=peak_rss_mib(os.getpid()),
    )
    print(json.dumps(asdict(result)))


def _window_s(engine: Engine, seconds: int) -> float:
    times = []
    for _ in range(N_WINDOWS):
        began = _now()
        engine.encode(seconds * FRAMES_PER_S)
        times.append(_now() - began)
    return min(times)


class ThisProject:
    """The model as the server runs it, without the server."""

    def __init__(self, directory: Path, cpu_level: str) -> None:
        from hf_asr_endpoint.user_folders import cache_folder
        from hf_asr_endpoint.whisper.loading import load_speech_model
        from hf_asr_endpoint.whisper.process import keep_freed_memory, limit_malloc_arenas, trim_heap

        limit_malloc_arenas()
        self._model, _, info = load_speech_model(
            directory, device="cpu", dtype="int8", slots=N_SLOTS, cpu_level=cpu_level, cache_dir=cache_folder()
        )
        trim_heap()
        keep_freed_memory()
        self._n_mels = info.n_mels
        self._features: Any = None

    def encode(self, n_frames: int) -> None:
        self._model.encode({0: _mel(self._n_mels, n_frames)})
        self._model.free(0)

    def step_s(self, n_rows: int) -> float:
        from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState

        self._cache_windows(n_rows)
        rules = AttemptRules(max_new_tokens=N_STEPS + 4)
        states = {
            slot: DecodingState(prompt=DecoderPrompt(tokens=(SOT, SOT + 1, SOT + 101), sot_index=0), rules=rules)
            for slot in range(n_rows)
        }
        self._model.prefill(states)
        seconds = _median_s(lambda: self._model.decode_step(states))
        for slot in states:
            self._model.free(slot)
        return seconds

    def _cache_windows(self, n_rows: int) -> None:
        """Give each slot a window of its own, as clips have, but encode only one. Uses the model's internals."""
        import torch

        model = self._model
        with torch.inference_mode():
            if self._features is None:
                mel = _mel(self._n_mels, WINDOWS_S[-1] * FRAMES_PER_S)
                (self._features,) = model._encoder([mel.to(model._dtype)])
            features = self._features
            for slot in range(n_rows):
                model._cross_kv.allocate(slot, len(features))
                deque(model._cache_cross_kv(slot, features), maxlen=0)


class CTranslate2:
    """The model in its int8, through `ctranslate2.models.Whisper`."""

    def __init__(self, directory: Path, cpu_level: str) -> None:
        from ctranslate2.models import Whisper

        self._model = Whisper(str(directory), device="cpu", compute_type="int8", intra_threads=N_THREADS)
        self._n_mels = self._model.n_mels
        self._features: Any = None

    def encode(self, n_frames: int) -> None:
        self._encoded(n_frames)

    def step_s(self, n_rows: int) -> float:
        """Of greedy texts of two lengths, the difference of their times. Nothing ends a text before its length."""
        import numpy as np
        from ctranslate2 import StorageView

        if self._features is None:
            self._features = np.array(self._encoded(WINDOWS_S[-1] * FRAMES_PER_S))
        features = StorageView.from_array(self._features.repeat(n_rows, axis=0))
        prompts = [[SOT, SOT + 1, SOT + 101]] * n_rows

        def generate(n_tokens: int) -> float:
            # CTranslate2 ends texts at half of max_length.
            began = _now()
            results = self._model.generate(
                features, prompts, beam_size=1, max_length=2 * n_tokens, suppress_blank=False,
                suppress_tokens=[SOT - 1],
            )  # fmt: skip
            assert all(len(result.sequences_ids[0]) == n_tokens for result in results)
            return _now() - began

        generate(2)
        short, long = 2, 2 + N_STEPS
        differences = [generate(long) - generate(short) for _ in range(3)]
        return statistics.median(differences) / N_STEPS

    def _encoded(self, n_frames: int) -> Any:
        from ctranslate2 import StorageView

        return self._model.encode(StorageView.from_array(_mel(self._n_mels, n_frames).numpy()[None]), to_cpu=True)


LOADERS: dict[str, Callable[[Path, str], Engine]] = {"this project": ThisProject, "CTranslate2": CTranslate2}


def _now() -> float:
    """Return seconds: of the processor on one thread, so that other work disturbs little; else of the clock."""
    return time.process_time() if N_THREADS == 1 else time.perf_counter()


def _median_s(function: Callable[[], None]) -> float:
    times: list[float] = []
    for _ in range(N_STEPS):
        began = _now()
        function()
        times.append(_now() - began)
    return statistics.median(times)


def _mel(n_mels: int, n_frames: int) -> Any:
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.rand((n_mels, n_frames), generator=generator) * 2 - 1


if __name__ == "__main__":
    main()
