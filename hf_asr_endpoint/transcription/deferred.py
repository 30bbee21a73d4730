"""A Transcriber that is still being loaded: requests wait for it, and its health says what it waits for."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Future
from contextlib import aclosing

from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Health, Segment, Transcription, TranscriptionOptions, Waveform

logger = logging.getLogger(__name__)

Load = Callable[[Callable[[str], None]], Transcriber]
"""Loads the real Transcriber, telling its argument before each slow step what is being waited for."""


class DeferredTranscriber:
    """Loads a Transcriber in a thread of its own and becomes it.

    on_failure: called in that thread with what went wrong, once, when loading fails.
    """

    def __init__(self, load: Load, *, on_failure: Callable[[Exception], None]) -> None:
        self._load = load
        self._on_failure = on_failure
        self._step = "loading to start"
        self._lock = threading.Lock()  # Loading and closing may end at the same moment.
        self._loaded: Future[Transcriber] = Future()
        self._loaded.set_running_or_notify_cancel()  # A request that goes away must not cancel it for all.

    def start(self) -> None:
        """Begin to load. Called once."""
        threading.Thread(target=self._run, name="load", daemon=True).start()

    async def stream(
        self, waveform: Iterable[Waveform], options: TranscriptionOptions
    ) -> AsyncGenerator[Segment | Transcription]:
        try:
            transcriber = await asyncio.wrap_future(self._loaded)
        except EngineUnavailable:
            raise
        except Exception as exc:  # Whatever ended the loading, a bug included: the request must end too.
            raise EngineUnavailable(f"the model is not available: {exc}") from exc
        async with aclosing(transcriber.stream(waveform, options)) as events:
            async for event in events:
                yield event

    def health(self) -> Health:
        if not self._loaded.done():
            return Health(state="loading", detail=self._step)
        if exc := self._loaded.exception():
            return Health(state="failed", detail=str(exc))
        return self._loaded.result().health()

    def close(self) -> None:
        with self._lock:
            if not self._loaded.done():
                self._loaded.set_exception(EngineUnavailable("the server is shutting down"))
        if self._loaded.exception() is None:
            self._loaded.result().close()

    def _run(self) -> None:
        try:
            transcriber = self._load(self._report)
        except Exception as exc:  # A thread that dies silently would leave every request waiting.
            with self._lock:
                is_awaited = not self._loaded.done()
                if is_awaited:
                    self._loaded.set_exception(exc)
            if is_awaited:
                self._on_failure(exc)
            return
        with self._lock:
            if not self._loaded.done():
                self._loaded.set_result(transcriber)
                return
        transcriber.close()  # Closed meanwhile.

    def _report(self, step: str) -> None:
        logger.info("waiting for %s", step)
        self._step = step
