"""The Transcriber over several engines, each in a process of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from hf_asr_endpoint.audio.blocks import BlockReader
from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.cancellation import SHUTTING_DOWN, CancellationToken
from hf_asr_endpoint.engine_processes.live import RemoteSession
from hf_asr_endpoint.engine_processes.load import least_loaded
from hf_asr_endpoint.engine_processes.messages import Cancel, Ended, News, OpenLive, Transcribe
from hf_asr_endpoint.engine_processes.process import EngineNotReady, EngineProcess
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.processes.blocks import Block
from hf_asr_endpoint.processes.works import Work
from hf_asr_endpoint.transcription.activities import add_up
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.stream import LiveStream
from hf_asr_endpoint.transcription.model_languages import check_live, no_live_sessions
from hf_asr_endpoint.transcription.orders import Order
from hf_asr_endpoint.transcription.stream import TranscriptionStream, last_of
from hf_asr_endpoint.types import (
    ANYBODY,
    Activity,
    Caller,
    EngineState,
    Health,
    ModelInfo,
    Progress,
    Transcription,
    TranscriptionOptions,
)


class EngineProcesses:
    """See `Transcriber`. A request goes to the engine with the least load, and waits as long as none is ready."""

    def __init__(self, engines: Sequence[EngineProcess]) -> None:
        """engines: that are loaded. They are closed with this."""
        self._engines = engines
        self._model = _of_all([engine.model for engine in engines])
        self._lock = threading.Lock()
        self._changed: Future[None] = Future()
        self._is_closed = False
        for engine in engines:
            engine.watch(self._tell)

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        return await last_of(await self._begin(reader, options, caller, streams=False))

    async def stream(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> TranscriptionStream:
        return await self._begin(reader, options, caller, streams=True)

    async def live(self, options: LiveOptions, caller: Caller = ANYBODY) -> LiveStream:
        session = RemoteSession(options)
        stream = LiveStream(
            session.connect, check=lambda changed: check_live(self._model.languages, changed, self._model)
        )
        engine, number = await self._give(session, OpenLive(options, caller.owner))
        session.tell = partial(engine.tell, number)
        try:
            await asyncio.shield(asyncio.wrap_future(session.opened))
        except BaseException:
            stream.close()
            raise
        return stream

    def health(self, model: str | None = None) -> Health:
        """Return the health of all engines: one that is ready is enough."""
        if self._is_closed:
            return Health(state="failed", detail=SHUTTING_DOWN)
        return join_states([engine.state for engine in self._engines], self._model)

    def activity(self, model: str | None = None) -> Activity:
        return add_up(engine.activity for engine in self._engines)

    def close(self) -> None:
        self._is_closed = True
        self._tell()
        for engine in self._engines:
            engine.begin_to_close()
        for engine in self._engines:
            engine.close()

    async def _begin(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller, *, streams: bool
    ) -> TranscriptionStream:
        token = CancellationToken()
        stream = TranscriptionStream(token)
        try:
            # In a thread, because files may be slow.
            blocks = await asyncio.to_thread(BlockReader, reader.order)
            work = _Recording(reader, blocks, stream, caller.on_progress)
            engine, number = await self._give(
                work, Transcribe(blocks.audio, options, Order.of(caller, streams=streams))
            )
        except BaseException:
            reader.close()
            raise
        token.add_callback(lambda: engine.tell(number, Cancel()))
        return stream

    async def _give(self, work: Work[News], message: Transcribe | OpenLive) -> tuple[EngineProcess, int]:
        """Give work to the engine with the least load, once one is ready. Raises EngineUnavailable."""
        while True:
            if self._is_closed:
                raise EngineUnavailable(SHUTTING_DOWN)
            changed = self._changed
            states = [engine.state for engine in self._engines]
            ready = [engine for engine, one in zip(self._engines, states, strict=True) if one.state == "ready"]
            if ready:
                engine = ready[least_loaded([one.load for one in ready])]
                try:
                    return engine, engine.give(work, message)
                except EngineNotReady:  # It has ended in this moment.
                    continue
            if all(one.state == "failed" for one in states):
                raise EngineUnavailable(join_states(states, self._model).detail)
            await asyncio.shield(asyncio.wrap_future(changed))  # Others wait for it, too.

    def _tell(self) -> None:
        """Wake those who wait for an engine."""
        with self._lock:
            changed, self._changed = self._changed, Future()
        changed.set_result(None)


class _Recording:
    """A request's `Work`. It owns the reader, as long as the engine may want audio."""

    def __init__(
        self,
        reader: WaveformReader,
        blocks: BlockReader,
        stream: TranscriptionStream,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._reader = reader
        self._blocks = blocks
        self._stream = stream
        self._on_progress = on_progress

    def take(self, news: News) -> None:
        if isinstance(news, Ended):
            self._reader.close()
            self._stream.finish(news.error)
            return
        if isinstance(news, Progress):
            self._on_progress(news)
        self._stream.put(news)  # type: ignore[arg-type]  # Nothing else comes of a recording.

    def read(self, index: int) -> Block:
        try:
            return Block(self._blocks.read(index))
        except (OSError, ValueError) as exc:
            return Block(None, f"it cannot be read ({exc})")


def join_states(engines: Sequence[EngineState], model: ModelInfo | None) -> Health:
    """Return the health of a model from its engines': ready if one is; failed if all are."""
    engines = tuple(engines)
    lacking = [engine for engine in engines if engine.state != "ready"]
    details = "; ".join(f"{engine.name}: {engine.detail}" for engine in lacking)
    if len(lacking) < len(engines):
        detail = f"{len(engines) - len(lacking)} of {len(engines)} engines are ready; {details}" if lacking else ""
        reason = no_live_sessions(model) if model else ""
        return Health(state="ready", detail=detail, model=model, no_live_sessions=reason, engines=engines)
    is_failed = all(engine.state == "failed" for engine in engines)
    return Health(state="failed" if is_failed else "loading", detail=details, model=model, engines=engines)


def _of_all(models: Sequence[ModelInfo | None]) -> ModelInfo:
    """Return what is known of a model that several engines have, in the memory of all."""
    known = [model for model in models if model is not None]
    return replace(known[0], memory_bytes=sum(model.memory_bytes for model in known))
