"""The reference engine over both embedded models, and something for it to hear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_asr_endpoint.transcription.lean_whisper import LeanWhisper
from hf_asr_endpoint.transcription.reference import ReferenceTranscriber
from hf_asr_endpoint.whisper.checkpoint import WhisperCheckpoint, load_checkpoint
from hf_asr_endpoint.whisper.weights.resolve import resolve_model


def load(reference: str, cache_dir: Path) -> WhisperCheckpoint:
    directory = resolve_model(reference, revision=None, cache_dir=cache_dir, report=lambda _: None)
    return load_checkpoint(directory, device="cpu", dtype="float32", model_class=LeanWhisper)


@pytest.fixture(scope="module")
def base(cache_dir: Path) -> Iterator[ReferenceTranscriber]:
    transcriber = ReferenceTranscriber(load("embedded:whisper-base", cache_dir))
    yield transcriber
    transcriber.close()


@pytest.fixture(scope="module")
def tiny_en_checkpoint(cache_dir: Path) -> WhisperCheckpoint:
    return load("embedded:whisper-tiny.en", cache_dir)


@pytest.fixture
def tiny_en(tiny_en_checkpoint: WhisperCheckpoint) -> Iterator[ReferenceTranscriber]:
    transcriber = ReferenceTranscriber(tiny_en_checkpoint)
    yield transcriber
    transcriber.close()
