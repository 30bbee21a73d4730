"""Several models, each loaded at the start or when it is first asked for, under one limit of memory.

Where a model does not fit beside those that are loaded, the one that has been unused the longest leaves: it takes
no new requests, ends those that it has, and is unloaded. Requests for it wait, and bring it back in their turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.cancellation import SHUTTING_DOWN
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.deferred import DeferredTranscriber
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.stream import LiveStream
from hf_asr_endpoint.transcription.model_room import ModelRoom, PooledModel
from hf_asr_endpoint.transcription.stream import TranscriptionStream
from hf_asr_endpoint.types import ANYBODY, Activity, Caller, Health, Transcription, TranscriptionOptions
from hf_asr_endpoint.whisper.process import trim_heap

logger = logging.getLogger(__name__)


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
        together; a model that is larger, or whose size is not known yet, is loaded alone. idle_timeout_s: after
        which those are unloaded that were loaded for a request.
        """
        self._rooms = {model.id: ModelRoom(model) for model in models}
        self._default = models[0].id
        self._on_failure = on_failure
        self._max_bytes = max_bytes
        self._idle_timeout_s = idle_timeout_s
        self._is_moving = False  # One model at a time makes room for another.
        self._changed = asyncio.Event()  # Set, and replaced, when a request has left or a model has come.
        self._is_closed = False
        self._unloading: set[asyncio.Future[None]] = set()  # The event loop itself has only weak references.

    def start(self) -> None:
        """Load the models that are to be loaded at the start; with a limit of memory only the default one."""
        for room in self._rooms.values():
            if room.model.loads_at_start and (self._max_bytes is None or room.model.id == self._default):
                self._load(room, self._on_failure)

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        room = await self._enter_with(reader, options.model)
        try:
            return await room.loaded.transcribe(reader, options, caller)
        finally:
            self._leave(room)

    async def stream(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> TranscriptionStream:
        room = await self._enter_with(reader, options.model)
        try:
            stream = await room.loaded.stream(reader, options, caller)
        except BaseException:
            self._leave(room)
            raise
        stream.add_end_callback(lambda: self._leave(room))
        return stream

    async def live(self, options: LiveOptions, caller: Caller = ANYBODY) -> LiveStream:
        room = await self._enter(options.model)
        try:
            stream = await room.loaded.live(options, caller)
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
        details = []
        for room in self._rooms.values():
            health = room.health()
            is_first_load = room.model.loads_at_start and not room.was_loaded
            has_lost_engines = bool(health.engines)
            if health.state == "failed" or (health.state == "loading" and (is_first_load or has_lost_engines)):
                return health
            if health.state == "ready" and health.detail:
                details.append(health.detail)
        default = self._rooms[self._default].health()
        return replace(default, state="ready", detail="; ".join(details))

    def activity(self, model: str | None = None) -> Activity:
        transcriber = self._rooms[model or self._default].transcriber
        return Activity() if transcriber is None else transcriber.activity()

    def close(self) -> None:
        self._is_closed = True
        for room in self._rooms.values():
            if (transcriber := room.transcriber) is not None:
                transcriber.close()

    async def _enter_with(self, reader: WaveformReader, model: str | None) -> ModelRoom:
        """Enter a model's room. Closes the reader if that fails."""
        try:
            return await self._enter(model)
        except BaseException:
            reader.close()
            raise

    async def _enter(self, model: str | None) -> ModelRoom:
        """Enter a model's room once it is loaded, or is being loaded."""
        room = self._rooms[model or self._default]
        while room.transcriber is None or room.is_leaving:
            room.check_last_load()
            if self._is_moving:
                await self._changed.wait()
            else:
                await self._move_in(room)
        self._check_open()
        room.enter()
        return room

    async def _move_in(self, room: ModelRoom) -> None:
        self._is_moving = True
        try:
            await asyncio.sleep(0)  # All who waited for the model that came last enter before it may leave.
            if room.transcriber is None:
                await self._make_space(room)
                self._check_open()
                self._load(room, room.remember_failure)
                room.was_loaded_for_request = True
        finally:
            self._is_moving = False
            self._tell()

    def _load(self, room: ModelRoom, on_failure: Callable[[Exception], None]) -> None:
        """Begin to load a model. Until that has ended, the load itself is one of the room's users."""
        loop = asyncio.get_running_loop()
        transcriber = DeferredTranscriber(room.model.load, on_failure=on_failure)
        room.transcriber = transcriber
        room.is_leaving = False
        room.enter()

        def end(error: Exception | None) -> None:
            room.was_loaded = room.was_loaded or error is None
            if error is not None and on_failure is not self._on_failure and room.transcriber is transcriber:
                room.transcriber = None  # The next request loads it again.
            self._leave(room)

        transcriber.start()
        transcriber.add_load_callback(lambda error: _call(loop, lambda: end(error)))

    def _leave(self, room: ModelRoom) -> None:
        room.n_users -= 1
        room.used_at_s = time.monotonic()
        if room.n_users:
            return
        self._tell()
        if self._idle_timeout_s is not None and room.was_loaded_for_request:
            loop = asyncio.get_running_loop()
            room.timer = loop.call_later(self._idle_timeout_s, self._end_idle, room)

    def _end_idle(self, room: ModelRoom) -> None:
        if not (room.n_users or room.is_leaving or room.transcriber is None):
            logger.info("model %s is unloaded: unused for %g s", room.model.id, self._idle_timeout_s)
            unloading = asyncio.ensure_future(self._unload(room))
            self._unloading.add(unloading)
            unloading.add_done_callback(self._unloading.discard)

    async def _make_space(self, room: ModelRoom) -> None:
        """Unload models until this one fits, or until it is alone. Before its first time its size is not known."""
        leaving: ModelRoom | None = None
        try:
            while self._lacks_space(room):
                if leaving is None or leaving.transcriber is None:
                    leaving = self._choose_leaving(leaving)
                if leaving is None or leaving.n_users:
                    await self._changed.wait()
                else:
                    logger.info("model %s is unloaded: %s needs its memory", leaving.model.id, room.model.id)
                    await asyncio.shield(self._unload(leaving))
        finally:
            if leaving is not None:
                leaving.is_leaving = False

    def _choose_leaving(self, before: ModelRoom | None) -> ModelRoom | None:
        """Have the model leave that is unused, or was used the longest ago; None while all are being unloaded.

        before: one that was to leave and has gone by itself, because it could not be loaded.
        """
        if before is not None:
            before.is_leaving = False
        loaded = [other for other in self._rooms.values() if other.transcriber is not None]
        if not loaded:
            return None
        leaving = min(loaded, key=lambda other: (other.n_users > 0, other.used_at_s))
        leaving.is_leaving = True
        return leaving

    def _lacks_space(self, room: ModelRoom) -> bool:
        others = [other for other in self._rooms.values() if other.transcriber is not None or other.is_unloading]
        if self._max_bytes is None or not others:
            return False
        n_bytes = [other.n_bytes or self._max_bytes for other in (*others, room)]
        return sum(n_bytes) > self._max_bytes

    async def _unload(self, room: ModelRoom) -> None:
        """Free a model that nobody uses. Until that is done, its memory counts."""
        # In a list that is emptied: the executor keeps its arguments while it runs, and so the model.
        held, room.transcriber, room.is_unloading = [room.loaded], None, True
        try:
            await asyncio.get_running_loop().run_in_executor(None, _close, held)
        finally:
            room.is_unloading = False
            self._tell()

    def _check_open(self) -> None:
        if self._is_closed:
            raise EngineUnavailable(SHUTTING_DOWN)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _call(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # The loop has been closed.
        loop.call_soon_threadsafe(work)


def _close(held: list[DeferredTranscriber]) -> None:
    held.pop().close()
    gc.collect()  # The model is part of cycles.
    trim_heap()
