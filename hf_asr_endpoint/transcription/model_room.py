"""A model's place in a pool, whether the model is loaded or not."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from hf_asr_endpoint.errors import ModelNotLoaded
from hf_asr_endpoint.transcription.deferred import DeferredTranscriber, Load
from hf_asr_endpoint.types import Health

logger = logging.getLogger(__name__)

LOAD_AGAIN_AFTER_S = 30.0
"""How long a failed load is remembered: to try again, other models may have to leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledModel:
    """loads_at_start: and leaves only for another model; otherwise it is loaded when a request asks for it."""

    id: str
    load: Load
    loads_at_start: bool


class ModelRoom:
    """A model's place, whether it is loaded or not."""

    def __init__(self, model: PooledModel) -> None:
        self.model = model
        self.transcriber: DeferredTranscriber | None = None
        self.n_users = 0
        self.used_at_s = 0.0
        self.is_leaving = False
        """It takes no new requests, because another model needs its memory."""
        self.is_unloading = False
        self.was_loaded = False
        self.was_loaded_for_request = False
        self.timer: asyncio.TimerHandle | None = None
        self._n_bytes: int | None = None
        self._failure: tuple[float, Exception] | None = None

    @property
    def loaded(self) -> DeferredTranscriber:
        assert self.transcriber is not None
        return self.transcriber

    @property
    def n_bytes(self) -> int | None:
        """Of the model, known once it has been loaded."""
        info = None if self.transcriber is None else self.transcriber.health().model
        if info is not None:
            self._n_bytes = info.memory_bytes
        return self._n_bytes

    def enter(self) -> None:
        self.n_users += 1
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def health(self) -> Health:
        transcriber = self.transcriber
        return Health(state="unloaded") if transcriber is None else transcriber.health()

    def remember_failure(self, error: Exception) -> None:
        """Take the error of a failed load. From any thread."""
        logger.error("model %s cannot be loaded: %s", self.model.id, error)
        self._failure = time.monotonic(), error

    def check_last_load(self) -> None:
        """Raise ModelNotLoaded if the model could not be loaded a moment ago."""
        if self._failure is not None and time.monotonic() - self._failure[0] < LOAD_AGAIN_AFTER_S:
            raise ModelNotLoaded(f"the model is not available: {self._failure[1]}")
