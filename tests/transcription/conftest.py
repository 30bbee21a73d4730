"""Transcribers with real weights, and one long form whose model follows a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_asr_endpoint.transcription.batching import BatchingTranscriber
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.loading import load_speech_model
from tests.transcription.scripted import Scene
from tests.transcription.transcribing import N_SLOTS, Loaded, WatchedModel, running


@pytest.fixture(scope="module")
def tiny_en_loaded(tiny_en_directory: Path) -> Loaded:
    return load_speech_model(tiny_en_directory, device="cpu", dtype="float32", slots=N_SLOTS)


@pytest.fixture(scope="module")
def base_loaded(base_directory: Path) -> Loaded:
    return load_speech_model(base_directory, device="cpu", dtype="float32", slots=N_SLOTS)


@pytest.fixture
def model(tiny_en_loaded: Loaded) -> WatchedModel:
    return WatchedModel(tiny_en_loaded[0])


@pytest.fixture
def transcriber(model: WatchedModel, tiny_en_loaded: Loaded) -> Iterator[BatchingTranscriber]:
    yield from running(model, tiny_en_loaded)


@pytest.fixture
def base_model(base_loaded: Loaded) -> WatchedModel:
    return WatchedModel(base_loaded[0])


@pytest.fixture
def multilingual(base_model: WatchedModel, base_loaded: Loaded) -> Iterator[BatchingTranscriber]:
    yield from running(base_model, base_loaded)


@pytest.fixture(scope="module")
def tokenizer(base_directory: Path) -> WhisperTokenizer:
    return WhisperTokenizer.from_directory(base_directory)


@pytest.fixture
def scene(tokenizer: WhisperTokenizer) -> Iterator[Scene]:
    scene = Scene(tokenizer)
    scene.engine.start()
    yield scene
    scene.engine.close()
