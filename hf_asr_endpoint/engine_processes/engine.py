"""An engine's process: one Transcriber, as a server with a single device has it, for the server's process.

It ends with the server's process, however that ends: then the pipe is at its end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from hf_asr_endpoint.audio.blocks import ReceivedAudio
from hf_asr_endpoint.cancellation import CANCELLED
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.engine_processes.live import ServedSession, serve_session
from hf_asr_endpoint.engine_processes.messages import (
    Call,
    Cancel,
    Ended,
    FromEngine,
    News,
    NotLoaded,
    OpenLive,
    State,
    Stop,
    ToEngine,
    Transcribe,
)
from hf_asr_endpoint.engine_processes.placement import Place
from hf_asr_endpoint.errors import AsrError, EngineUnavailable, InternalError
from hf_asr_endpoint.loading import load_transcriber
from hf_asr_endpoint.logs import configure_logging
from hf_asr_endpoint.model_choice import ModelChoice
from hf_asr_endpoint.processes.blocks import Block, Fetches
from hf_asr_endpoint.processes.channel import Channel
from hf_asr_endpoint.transcription.orders import BUG, follow
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Activity, Health

logger = logging.getLogger(__name__)

REPORT_INTERVAL_S = 0.5
EXIT_ALONE, EXIT_FAILED = 3, 4
"""Exit codes: when the server's process has gone, and when nothing can be sent to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOrder:
    """What a process needs to make its engine. log_level: the lowest that it logs."""

    place: Place
    choice: ModelChoice
    settings: Settings
    log_level: int = logging.INFO


def run_engine(connection: Connection, order: EngineOrder) -> None:
    """The main function of the process. connection: this end of the pipe."""
    # A terminal and systemd send their signals to all processes. The server's says when this one is to end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    order.place.enter()
    configure_logging(order.settings.log_level, order.settings.log_format)
    logging.getLogger().setLevel(order.log_level)
    asyncio.run(_serve(connection, order))


async def _serve(connection: Connection, order: EngineOrder) -> None:
    await _Engine(Channel(connection, name="send", on_failure=lambda: os._exit(EXIT_FAILED))).serve(order)


class _Engine:
    def __init__(self, channel: Channel[ToEngine, FromEngine]) -> None:
        self._channel = channel
        self._health = Health(state="loading", detail="loading to start")
        self._transcriber: Transcriber | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._sessions: dict[int, ServedSession] = {}
        self._fetches = Fetches(lambda number, wanted: channel.send((number, wanted)))
        self._n_begun = 0
        self._stopping = asyncio.Event()

    async def serve(self, order: EngineOrder) -> None:
        """Load the model, and work until the server's process says that this one is to end."""
        threading.Thread(target=self._receive, args=(asyncio.get_running_loop(),), daemon=True).start()
        # The process sees its device alone: as its first GPU, or as all of its cores.
        choice = order.choice.model_copy(update={"devices": (order.place.device,)})
        reporting = asyncio.ensure_future(self._keep_reporting())
        try:
            self._transcriber = await asyncio.to_thread(load_transcriber, choice, order.settings, self._wait_for)
        except Exception as exc:  # Whatever it is, the server's process must learn why there is no engine.
            if not isinstance(exc, AsrError):
                logger.exception("the engine on %s cannot be made", order.place.name)
            reporting.cancel()
            self._channel.send(NotLoaded(str(exc)))
            await asyncio.to_thread(self._channel.finish)
            return
        self._report()
        await self._stopping.wait()
        reporting.cancel()
        await asyncio.to_thread(self._transcriber.close)

    async def _keep_reporting(self) -> None:
        """Report again and again: a process that is silent counts as one that hangs."""
        while True:
            self._report()
            await asyncio.sleep(REPORT_INTERVAL_S)

    def _receive(self, loop: asyncio.AbstractEventLoop) -> None:
        """The thread that takes messages. Blocks have their own way: the event loop need not see them."""
        for message in self._channel.receive():
            if isinstance(message, Stop):
                if self._transcriber is None:
                    os._exit(0)  # Nothing else ends a load that is under way.
                loop.call_soon_threadsafe(self._stopping.set)
                continue
            number, about = message
            if isinstance(about, Block):
                self._fetches.take(number, about)
            else:
                loop.call_soon_threadsafe(self._take, number, about)
        os._exit(EXIT_ALONE)

    def _take(self, number: int, message: Transcribe | OpenLive | Call | Cancel) -> None:
        assert self._transcriber is not None
        match message:
            case Transcribe():
                self._start(number, self._transcribe(number, message))
            case OpenLive():
                keep = partial(self._sessions.__setitem__, number)
                self._start(number, serve_session(self._transcriber, message, partial(self._tell, number), keep))
            case Call() if number in self._sessions:  # Otherwise it has ended, which is being told.
                self._sessions[number].call(message)
            case Cancel() if number in self._tasks:
                self._tasks[number].cancel()

    def _start(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        self._n_begun += 1
        self._tasks[number] = asyncio.ensure_future(work)
        self._tasks[number].add_done_callback(partial(self._end, number))

    def _end(self, number: int, task: asyncio.Task[None]) -> None:
        """Tell the end of the work on a request or a session."""
        error = EngineUnavailable(CANCELLED) if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, AsrError):  # Its details are for the log.
            logger.error("a bug", exc_info=error)
            error = InternalError(BUG)
        self._sessions.pop(number, None)
        del self._tasks[number]
        self._tell(number, Ended(error))

    async def _transcribe(self, number: int, message: Transcribe) -> None:
        assert self._transcriber is not None
        receive = partial(ReceivedAudio, message.audio, partial(self._fetches.fetch, number))
        async with aclosing(follow(self._transcriber, receive, message.options, message.order)) as events:
            async for event in events:
                if isinstance(event, AsrError):
                    raise event
                self._tell(number, event)

    def _tell(self, number: int, news: News) -> None:
        self._channel.send((number, news))

    def _wait_for(self, step: str) -> None:
        self._health = Health(state="loading", detail=step)
        self._report()

    def _report(self) -> None:
        transcriber = self._transcriber
        self._channel.send(
            State(
                health=transcriber.health() if transcriber else self._health,
                activity=transcriber.activity() if transcriber else Activity(),
                n_begun=self._n_begun,
            )
        )
