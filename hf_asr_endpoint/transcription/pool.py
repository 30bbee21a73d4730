"""Several models, each loaded at the start or when it is first asked for, under one limit of memory.

Where a model does not fit beside those that are loaded, the one that has been unused the longest leaves: it takes
no new requests, ends those that it has, and is unloaded. Requests for it wait, and bring it back in their turn.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.cancellation import SHUTTING_DOWN
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.deferred import DeferredTranscriber, Load
from hf_asr_endpoint.transcription.stream import TranscriptionStream
from hf_asr_endpoint.types import ANYBODY, Activity, Caller, Health, Transcription, TranscriptionOptions
from hf_asr_endpoint.whisper.process import trim_heap

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledModel:
    """loads_at_start: and leaves only for another model; otherwise it is loaded when a request asks for it."""

    id: str
    load: Load
    loads_at_start: bool


class ModelPool:
    """A Transcriber with several models. Used in one event loop; `close` from any thread, when it is no more."""

    def __init__(
        self,
        models: Sequence[PooledModel],
        *,
        on_failure: Callable[[Exception], None],
        max_bytes: int | None = None,
        idle_timeout_s: float | None = None,
    ) -> None:
        """models: at least one; the first is the default.

        on_failure: called in a thread when a model cannot be loaded at the start. max_bytes: of all models
        together; a model that is larger is loaded alone. idle_timeout_s: after which those are unloaded that were
        loaded for a request.
        """
        self._rooms = {model.id: _Room(model) for model in models}
        self._default = models[0].id
        self._on_failure = on_failure
        self._max_bytes = max_bytes
        self._idle_timeout_s = idle_timeout_s
        self._is_moving = False  # One model at a time makes room for another.
        self._changed = asyncio.Event()  # Set, and replaced, when a request has left or a model has come.
        self._is_closed = False
        self._has_started = False

    def start(self) -> None:
        """Load the models that are to be loaded at the start; with a limit of memory only the default one."""
        for room in self._rooms.values():
            if room.model.loads_at_start and (self._max_bytes is None or room.model.id == self._default):
                room.load(self._on_failure)

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        async with self._use(reader, options.model) as transcriber:
            return await transcriber.transcribe(reader, options, caller)

    async def stream(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> TranscriptionStream:
        room = await self._enter_or_close(reader, options.model)
        try:
            stream = await room.loaded.stream(reader, options, caller)
        except BaseException:
            self._leave(room)
            raise
        stream.add_end_callback(lambda: self._leave(room))
        return stream

    def health(self, model: str | None = None) -> Health:
        """Return a model's health. Without one, that of the server: it is ready once all models have been that are
        loaded at the start, and until one has stopped.
        """
        if self._is_closed:
            return Health(state="failed", detail=SHUTTING_DOWN)
        if model is not None:
            return self._rooms[model].health()
        for room in self._rooms.values():
            health = room.health()
            if health.state == "failed" or (
                health.state == "loading" and room.model.loads_at_start and not self._has_started
            ):
                return health
        self._has_started = True
        return Health(state="ready", model=self._rooms[self._default].health().model)

    def activity(self, model: str | None = None) -> Activity:
        room = self._rooms[model or self._default]
        return Activity() if room.transcriber is None else room.transcriber.activity()

    def close(self) -> None:
        self._is_closed = True
        for room in self._rooms.values():
            if room.transcriber is not None:
                room.transcriber.close()

    @asynccontextmanager
    async def _use(self, reader: WaveformReader, model: str | None) -> AsyncIterator[DeferredTranscriber]:
        room = await self._enter_or_close(reader, model)
        try:
            yield room.loaded
        finally:
            self._leave(room)

    async def _enter_or_close(self, reader: WaveformReader, model: str | None) -> _Room:
        """Enter a model's room; close the reader if that fails."""
        try:
            return await self._enter(self._rooms[model or self._default])
        except BaseException:
            reader.close()
            raise

    async def _enter(self, room: _Room) -> _Room:
        """Enter a room once its model is loaded, or is being loaded."""
        while room.transcriber is None or room.is_leaving:
            if self._is_moving:
                await self._changed.wait()
                continue
            self._is_moving = True
            try:
                await asyncio.sleep(0)  # All who waited for the model that came last enter before it may leave.
                if room.transcriber is None:
                    await self._make_space(room)
                    self._check_open()
                    room.load(self._forget_later(room))
            finally:
                self._is_moving = False
                self._tell()
        self._check_open()
        room.enter()
        return room

    def _check_open(self) -> None:
        if self._is_closed:
            raise EngineUnavailable(SHUTTING_DOWN)

    def _leave(self, room: _Room) -> None:
        room.n_users -= 1
        room.used_at_s = time.monotonic()
        if room.n_users:
            return
        self._tell()
        if self._idle_timeout_s is not None and not room.model.loads_at_start:
            loop = asyncio.get_running_loop()
            room.timer = loop.call_later(self._idle_timeout_s, self._end_idle, room)

    def _end_idle(self, room: _Room) -> None:
        if not (room.n_users or room.is_leaving or room.transcriber is None):
            logger.info("model %s is unloaded: unused for %g s", room.model.id, self._idle_timeout_s)
            self._close_in_thread(room)

    async def _make_space(self, room: _Room) -> None:
        """Unload models until this one fits, or until it is alone. Before its first time its size is not known."""
        if self._max_bytes is None:
            return
        while loaded := [other for other in self._rooms.values() if other.transcriber is not None]:
            others_bytes = sum(other.n_bytes or self._max_bytes for other in loaded)
            if others_bytes + (room.n_bytes or self._max_bytes) <= self._max_bytes:
                return
            leaving = min(loaded, key=lambda other: (other.n_users > 0, other.used_at_s))
            leaving.is_leaving = True
            try:
                while leaving.n_users:
                    await self._changed.wait()
                logger.info("model %s is unloaded: %s needs its memory", leaving.model.id, room.model.id)
                await self._close_in_thread(leaving)
            finally:
                leaving.is_leaving = False

    def _close_in_thread(self, room: _Room) -> asyncio.Future[None]:
        transcriber, room.transcriber = room.loaded, None
        return asyncio.get_running_loop().run_in_executor(None, _close, transcriber)

    def _forget_later(self, room: _Room) -> Callable[[Exception], None]:
        """Return what takes the error of a failed load: the next request loads the model again."""
        loop = asyncio.get_running_loop()
        failed: list[DeferredTranscriber | None] = []

        def forget() -> None:
            if room.transcriber is failed[0]:
                room.transcriber = None

        def on_failure(error: Exception) -> None:
            logger.error("model %s cannot be loaded: %s", room.model.id, error)
            failed.append(room.transcriber)
            loop.call_soon_threadsafe(forget)

        return on_failure

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class _Room:
    """A model's place, whether it is loaded or not."""

    def __init__(self, model: PooledModel) -> None:
        self.model = model
        self.transcriber: DeferredTranscriber | None = None
        self.n_users = 0
        self.used_at_s = 0.0
        self.is_leaving = False
        """It takes no new requests, because another model needs its memory."""
        self.timer: asyncio.TimerHandle | None = None
        self._n_bytes: int | None = None

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

    def load(self, on_failure: Callable[[Exception], None]) -> None:
        self.transcriber = DeferredTranscriber(self.model.load, on_failure=on_failure)
        self.transcriber.start()

    def enter(self) -> None:
        self.n_users += 1
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def health(self) -> Health:
        return Health(state="unloaded") if self.transcriber is None else self.transcriber.health()


def _close(transcriber: DeferredTranscriber) -> None:
    transcriber.close()
    del transcriber
    gc.collect()  # The model is part of cycles.
    trim_heap()
