"""All engines by name, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.engines.faster_whisper import BatchedFasterWhisper, FasterWhisper
from bench.engines.protocol import Engine, EngineOptions
from bench.engines.server import ServerEngine
from bench.engines.transformers_pipeline import SequentialTransformersPipeline, TransformersPipeline
from bench.engines.whisper_cpp import WhisperCpp
from bench.weights import Format

BATCH_SIZES = (4, 8, 16)
DEFAULT_BATCH_SIZE = 8
BASELINE = "ours-auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKind:
    """The label of one engine in the table, its format of weights and its constructor."""

    label: str
    weights: Format
    build: Callable[[EngineOptions], Engine]
    batch_sizes: tuple[int, ...] = (DEFAULT_BATCH_SIZE,)  # All are measured; the table shows the fastest.


def _ours(dtype: str) -> EngineKind:
    return EngineKind(
        label=f"this project, {dtype}", weights="reference", build=partial(ServerEngine, dtype=dtype)
    )


def _faster_whisper(compute_type: str) -> EngineKind:
    return EngineKind(
        label=f"faster-whisper, {compute_type}",
        weights="ctranslate2",
        build=partial(FasterWhisper, compute_type=compute_type),
    )


def _batched_faster_whisper(compute_type: str) -> EngineKind:
    return EngineKind(
        label=f"faster-whisper, {compute_type}, batched",
        weights="ctranslate2",
        build=partial(BatchedFasterWhisper, compute_type=compute_type),
        batch_sizes=BATCH_SIZES,
    )


ENGINES: dict[str, EngineKind] = {
    BASELINE: _ours("auto"),
    "ours-float32": _ours("float32"),
    "ours-bfloat16": _ours("bfloat16"),
    "ours-int8": _ours("int8"),
    "faster-whisper-int8": _faster_whisper("int8"),
    "faster-whisper-int8-batched": _batched_faster_whisper("int8"),
    "faster-whisper-float32": _faster_whisper("float32"),
    "faster-whisper-float32-batched": _batched_faster_whisper("float32"),
    "whisper.cpp": EngineKind(label="whisper.cpp, float16", weights="ggml", build=WhisperCpp),
    "transformers": EngineKind(
        label="transformers pipeline, float32", weights="transformers", build=SequentialTransformersPipeline
    ),
    "transformers-chunked": EngineKind(
        label="transformers pipeline, float32, chunks batched",
        weights="transformers",
        build=TransformersPipeline,
        batch_sizes=BATCH_SIZES,
    ),
}
