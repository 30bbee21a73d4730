"""Models for a pool: fakes that are loaded as a test wants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np

from hf_asr_endpoint.transcription.model_room import PooledModel
from hf_asr_endpoint.transcription.pool import ModelPool
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Health, ModelInfo, TranscriptionOptions
from tests.fakes import FakeTranscriber, make_segment
from tests.transcription.transcribing import Blocks

DEADLINE_S = 60.0
INFO = ModelInfo(device="cpu", dtype="float32", is_multilingual=True, n_mels=80, memory_bytes=100)


class Models:
    """Loads fakes whose text is their name, each of 100 bytes. loaded: those that are in memory, in order."""

    def __init__(self) -> None:
        self.loaded: list[FakeTranscriber] = []
        self.names: list[str] = []
        """Of every load, in order."""
        self.most = 0
        """How many were loaded at the same time, at most."""
        self.failures: dict[str, Exception] = {}
        self.holds = False
        self.load_s = 0.0
        self.on_load: Callable[[], None] = lambda: None

    def pooled(self, name: str, *, at_start: bool = False) -> PooledModel:
        def load(report: Callable[[str], None]) -> Transcriber:
            time.sleep(self.load_s)
            self.on_load()
            if failure := self.failures.pop(name, None):
                raise failure
            fake = FakeTranscriber(
                segments=(make_segment(f" {name}", end=0.05),), health=Health(state="ready", model=INFO)
            )
            if self.holds:
                fake.hold()
            self.names.append(name)
            self.loaded = [*self.in_memory(), fake]
            self.most = max(self.most, len(self.loaded))
            return fake

        return PooledModel(id=name, load=load, loads_at_start=at_start)

    def in_memory(self) -> list[FakeTranscriber]:
        return [fake for fake in self.loaded if not fake.is_closed]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, DEADLINE_S))


async def text(pool: ModelPool, model: str | None) -> str:
    reader = Blocks([np.zeros(800, np.float32)])
    return (await pool.transcribe(reader, TranscriptionOptions(model=model))).text


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def unexpected(error: Exception) -> None:
    raise AssertionError("the server would stop") from error
