"""A Transcriber whose model is still loading: requests wait for it, and its health says what it waits for."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import cast

from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.cancellation import SHUTTING_DOWN
from hf_asr_endpoint.errors import EngineUnavailable, ModelNotLoaded
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.stream import LiveStream
from hf_asr_endpoint.transcription.stream import TranscriptionStream
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import ANYBODY, Activity, Caller, Health, Transcription, TranscriptionOptions

logger = logging.getLogger(__name__)

Load = Callable[[Callable[[str], None]], Transcriber]
"""Loads the real Transcriber. Calls its argument before each slow step with what the server then waits for."""


class DeferredTranscriber:
    """Loads a Transcriber in a thread of its own, and delegates to it.

    on_failure: called once, in that thread, with the error that ended loading, before any request gets it.
    """

    def __init__(self, load: Load, *, on_failure: Callable[[Exception], None]) -> None:
        self._load = load
        self._on_failure = on_failure
        self._step = "loading to start"
        self._lock = threading.Lock()  # Loading and closing may end at the same moment.
        self._loaded: Future[Transcriber] = Future()
        self._loaded.set_running_or_notify_cancel()  # Cancelling one request must not cancel loading.

    def start(self) -> None:
        """Start to load. Called once."""
        threading.Thread(target=self._run, name="load", daemon=True).start()

    def add_load_callback(self, callback: Callable[[Exception | None], None]) -> None:
        """Call `callback` with the error of loading, or None, when that has ended; in whichever thread ends it."""
        self._loaded.add_done_callback(lambda loaded: callback(cast("Exception | None", loaded.exception())))

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        transcriber = await self._wait(reader)
        return await transcriber.transcribe(reader, options, caller)

    async def stream(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> TranscriptionStream:
        transcriber = await self._wait(reader)
        return await transcriber.stream(reader, options, caller)

    async def live(self, options: LiveOptions, caller: Caller = ANYBODY) -> LiveStream:
        return await (await self._loaded_transcriber()).live(options, caller)

    def health(self, model: str | None = None) -> Health:
        if not self._loaded.done():
            return Health(state="loading", detail=self._step)
        if exc := self._loaded.exception():
            return Health(state="failed", detail=str(exc))
        return self._loaded.result().health()

    def activity(self, model: str | None = None) -> Activity:
        if not self._loaded.done() or self._loaded.exception():
            return Activity()
        return self._loaded.result().activity()

    def close(self) -> None:
        with self._lock:
            if not self._loaded.done():
                self._loaded.set_exception(EngineUnavailable(SHUTTING_DOWN))
        if self._loaded.exception() is None:
            self._loaded.result().close()

    async def _wait(self, reader: WaveformReader) -> Transcriber:
        """Return the transcriber once it is loaded. When there is none, close the reader and raise."""
        try:
            return await self._loaded_transcriber()
        except BaseException:
            reader.close()
            raise

    async def _loaded_transcriber(self) -> Transcriber:
        try:
            return await asyncio.wrap_future(self._loaded)
        except BaseException as exc:
            if isinstance(exc, EngineUnavailable | asyncio.CancelledError):
                raise
            # Whatever ended loading, a bug included, must end the request too.
            raise ModelNotLoaded(f"the model is not available: {exc}") from exc

    def _run(self) -> None:
        try:
            transcriber = self._load(self._report)
        except Exception as exc:  # A thread that dies silently would leave every request waiting.
            if not self._loaded.done():  # It is after `close`.
                self._on_failure(exc)  # Before those who wait are told: they may ask again at once.
            with self._lock:
                if not self._loaded.done():
                    self._loaded.set_exception(exc)
            return
        with self._lock:
            if not self._loaded.done():
                self._loaded.set_result(transcriber)
                return
        transcriber.close()  # `close` was called while the model was loading.

    def _report(self, step: str) -> None:
        logger.info("waiting for %s", step)
        self._step = step
