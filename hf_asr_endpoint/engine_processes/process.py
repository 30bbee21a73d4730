"""One engine as the server's process sees it: its process, which is started again when it ends, and its work.

What its process tells is taken in the keeper's thread. Everything else may come from any thread.
"""

from __future__ import annotations

import logging
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from multiprocessing.connection import Connection

from hf_asr_endpoint.cancellation import SHUTTING_DOWN
from hf_asr_endpoint.engine_processes.engine import EngineOrder, run_engine
from hf_asr_endpoint.engine_processes.load import Load
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
from hf_asr_endpoint.errors import EngineLost, EngineUnavailable, ModelUnavailable
from hf_asr_endpoint.processes.blocks import Wanted
from hf_asr_endpoint.processes.channel import Channel, Pipe
from hf_asr_endpoint.processes.keeper import FAILED_AFTER, ChildProcess, Keeper
from hf_asr_endpoint.processes.works import Work, Works
from hf_asr_endpoint.transcription.activities import add_up, only_counters
from hf_asr_endpoint.types import Activity, EngineState, EngineStatus, Health, ModelInfo

logger = logging.getLogger(__name__)

MAX_SILENCE_S = 120.0
"""An engine's process that tells nothing for so long hangs, and is killed. It reports twice a second."""


class EngineNotReady(Exception):
    """The engine takes no requests now."""


class EngineProcess:
    """An engine, and its process as long as it has one. `start` and `close` are called once each."""

    def __init__(
        self, order: EngineOrder, *, main: Callable[[Connection, EngineOrder], None] = run_engine
    ) -> None:
        """main: of the process; a function of a module."""
        self._main = main
        self.name = order.place.name
        self.loaded: Future[None] = Future()
        """Done when the first start has succeeded, or failed, with ModelUnavailable."""
        self._order = order
        self._on_change: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._channel: Channel[FromEngine, ToEngine] | None = None
        self._state = State(Health(state="loading", detail="its process to start"), Activity(), 0)
        self._status: EngineStatus = "loading"
        self._reason = ""  # why the last process has ended
        self._lost = Activity()  # counters of the processes that have ended
        self._works: Works[News] = Works(Ended)
        self._n_given = 0  # to this process
        self._keeper: Keeper[FromEngine, ToEngine] = Keeper(
            f"engine {self.name}",
            start=self._start_process,
            on_start=self._begin,
            take=self._take,
            on_end=self._survives,
            max_silence_s=MAX_SILENCE_S,
        )

    def start(self) -> None:
        """Begin to start the process."""
        self._keeper.start()

    def watch(self, on_change: Callable[[], None]) -> None:
        """Have `on_change` called, in the engine's thread, each time that it has become ready or has ended."""
        self._on_change = on_change

    @property
    def state(self) -> EngineState:
        with self._lock:
            details = {"ready": "", "loading": self._state.health.detail, "failed": self._reason}
            return EngineState(
                name=self.name,
                state=self._status,
                detail=details[self._status],
                n_restarts=self._keeper.n_restarts,
            )

    @property
    def model(self) -> ModelInfo | None:
        """What is known of the model, once it is loaded."""
        return self._state.health.model

    @property
    def activity(self) -> Activity:
        """Of this process, and what those before it have done."""
        with self._lock:
            return add_up([self._lost, self._state.activity])

    @property
    def load(self) -> Load:
        with self._lock:
            activity = self._state.activity
            return Load(
                n_requests=len(self._works),
                n_windows=activity.slots_in_use + activity.windows_waiting,
                n_unreported=self._n_given - self._state.n_begun,
                slots=activity.slots,
                waiting_audio_s=activity.waiting_audio_s,
            )

    def give(self, work: Work[News], message: Transcribe | OpenLive) -> int:
        """Have the engine begin to work, and return the number of the work. Raises EngineNotReady."""
        with self._lock:
            if self._status != "ready" or self._channel is None:
                raise EngineNotReady
            number = self._works.add(work)
            self._n_given += 1
            self._channel.send((number, message))
        return number

    def tell(self, number: int, message: Call | Cancel) -> None:
        """Tell the engine something about work that it was given. Nothing happens once that has ended."""
        with self._lock:
            if number in self._works and self._channel is not None:
                self._channel.send((number, message))

    def begin_to_close(self) -> None:
        """Have the process end; what is in flight there ends with EngineUnavailable."""
        self._keeper.begin_to_close()
        with self._lock:
            self._status, self._reason = "failed", SHUTTING_DOWN
            if self._channel is not None:
                self._channel.send(Stop())
        self._works.end(Ended(EngineUnavailable(SHUTTING_DOWN)))

    def close(self) -> None:
        """End the process, if it has not. Blocks until it has."""
        self.begin_to_close()
        self._keeper.close()
        if not self.loaded.done():
            self.loaded.set_exception(EngineUnavailable(SHUTTING_DOWN))

    def _start_process(self) -> tuple[Pipe, ChildProcess]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=self._main, args=(theirs, self._order), name=f"engine {self.name}", daemon=True
        )
        process.start()
        theirs.close()  # Otherwise the pipe would not be at its end when the process has gone.
        return ours, process

    def _begin(self, channel: Channel[FromEngine, ToEngine]) -> None:
        with self._lock:
            self._channel, self._n_given = channel, 0
            if self._keeper.is_closing:
                channel.send(Stop())

    def _take(self, message: FromEngine) -> str:
        """Take what the process tells. Returns why it must end, if that is what it tells."""
        match message:
            case State(health=health):
                with self._lock:
                    self._state = message
                if health.state == "failed" and not self._keeper.is_closing:
                    return health.detail  # Its device is lost to it, for example; a new one may have better luck.
                if health.state == "ready" and self._status != "ready":
                    self._become_ready()
            case NotLoaded(reason=reason):
                return reason
            case (number, news):
                self._take_news(number, news)
        return ""

    def _take_news(self, number: int, news: News | Wanted) -> None:
        if not isinstance(news, Wanted):
            self._works.tell(number, news)
        elif self._channel is not None:
            self._channel.send_made(partial(self._read, number, news.index))

    def _become_ready(self) -> None:
        with self._lock:
            if self._keeper.is_closing:
                return
            self._status = "ready"
        self._keeper.succeed()
        logger.info("the engine on %s is ready", self.name)
        if not self.loaded.done():
            self.loaded.set_result(None)
        self._on_change()

    def _read(self, number: int, index: int) -> ToEngine:
        """Return a block of audio when the pipe has room for it. Until then nobody reads it."""
        return number, self._works.read(number, index)

    def _survives(self, reason: str) -> bool:
        """Take it that the process has ended. Returns whether the engine is to be started again."""
        with self._lock:
            self._channel = None
            self._status = "failed" if self._keeper.n_failures >= FAILED_AFTER else "loading"
            self._lost = add_up([self._lost, only_counters(self._state.activity)])
            self._state = State(
                Health(state="loading", detail=f"its process to start again ({reason})"), Activity(), 0
            )
            self._reason = reason
        logger.error("the engine on %s has ended: %s", self.name, reason)
        lost = f"the engine on {self.name} that worked on this request has ended; send the request again"
        self._works.end(Ended(EngineLost(lost)))
        if not self.loaded.done():
            self.loaded.set_exception(ModelUnavailable(f"the engine on {self.name} cannot be loaded: {reason}"))
            return False
        self._on_change()
        return True
