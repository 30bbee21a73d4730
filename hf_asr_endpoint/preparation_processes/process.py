"""One process that prepares audio, as the engine's process sees it, and the recordings that it has."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from hf_asr_endpoint.cancellation import SHUTTING_DOWN
from hf_asr_endpoint.errors import EngineLost, EngineUnavailable, ModelUnavailable
from hf_asr_endpoint.preparation_processes.messages import (
    About,
    EngineBusy,
    FromChild,
    News,
    Setup,
    State,
    Stop,
    ToChild,
)
from hf_asr_endpoint.processes.blocks import Wanted
from hf_asr_endpoint.processes.channel import Channel, Pipe
from hf_asr_endpoint.processes.keeper import FAILED_AFTER, ChildProcess, Keeper
from hf_asr_endpoint.processes.program import start_program
from hf_asr_endpoint.processes.works import Work, Works
from hf_asr_endpoint.transcription.preparation import PreparationEnd

logger = logging.getLogger(__name__)

MODULE = "hf_asr_endpoint.preparation_processes.child"
VARIABLES = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
"""A worker computes on one core, and no process touches a GPU."""
MAX_SILENCE_S = 60.0
"""A process that tells nothing for so long hangs, and is killed. It reports twice a second."""
LOST = "the process that prepared this request's audio has ended; send the request again"


def start_child() -> tuple[Pipe, ChildProcess]:
    """Start a process that prepares audio. Raises OSError."""
    return start_program(MODULE, variables=VARIABLES)


class PreparationProcess:
    """Takes recordings at any time: between two processes, they wait for the next one. From any thread."""

    def __init__(self, name: str, *, start: Callable[[], tuple[Pipe, ChildProcess]] = start_child) -> None:
        """start: starts the process. The first one starts at once."""
        self.ready: Future[None] = Future()
        """Done when the first start has succeeded, or failed, with ModelUnavailable."""
        self.failure = ""
        """Why it has not started several times in a row; "" if it has."""
        self._name = name
        self._lock = threading.RLock()
        self._setup: Setup | None = None
        self._is_engine_busy: Callable[[], bool] = lambda: False
        self._told_busy = False
        self._channel: Channel[FromChild, ToChild] | None = None
        self._unsent: list[Callable[[], ToChild]] = []  # while there is no channel
        self._state = State()
        self._lost = State()  # counters of the processes that have ended
        self._works: Works[News] = Works(PreparationEnd)
        self._keeper: Keeper[FromChild, ToChild] = Keeper(
            name,
            start=start,
            on_start=self._begin,
            take=self._take,
            on_end=self._survives,
            max_silence_s=MAX_SILENCE_S,
        )
        self._keeper.start()

    @property
    def n_recordings(self) -> int:
        return len(self._works)

    @property
    def is_ready(self) -> bool:
        return self._state.is_ready

    @property
    def worked_s(self) -> float:
        """Seconds of work of this process and those before it, as far as they have told."""
        with self._lock:
            return self._lost.worked_s + self._state.worked_s

    @property
    def prepared_audio_s(self) -> float:
        """Seconds of audio that they have read."""
        with self._lock:
            return self._lost.prepared_audio_s + self._state.prepared_audio_s

    def set_up(self, setup: Setup, *, is_engine_busy: Callable[[], bool]) -> None:
        """Tell what to prepare for, once, before all recordings. `ready` follows."""
        with self._lock:
            self._setup, self._is_engine_busy = setup, is_engine_busy
            if self._channel is not None:
                self._channel.send(setup)

    def add(self, work: Work[News]) -> int:
        """Return the number of a new recording, which is told its end from now on. Raises EngineUnavailable."""
        with self._lock:
            if self._keeper.is_closing:
                raise EngineUnavailable(SHUTTING_DOWN)
            return self._works.add(work)

    def tell(self, number: int, make: Callable[[], About]) -> None:
        """Tell the process something about a recording. Nothing happens once that has ended.

        make: returns it, in the thread that writes to the process; it may read files.
        """
        with self._lock:
            if number not in self._works:
                return
            if self._channel is None:
                self._unsent.append(lambda: (number, make()))
            else:
                self._channel.send_made(lambda: (number, make()))

    def begin_to_close(self) -> None:
        """Have the process end; its recordings end with EngineUnavailable."""
        self._keeper.begin_to_close()
        with self._lock:
            if self._channel is not None:
                self._channel.send(Stop())
            tell_all = self._remove_all()
        tell_all(PreparationEnd(duration_s=0.0, error=EngineUnavailable(SHUTTING_DOWN)))

    def close(self) -> None:
        """End the process, if it has not. Blocks until it has."""
        self.begin_to_close()
        self._keeper.close()
        if not self.ready.done():
            self.ready.set_exception(EngineUnavailable(SHUTTING_DOWN))

    def _begin(self, channel: Channel[FromChild, ToChild]) -> None:
        with self._lock:
            self._channel, self._told_busy = channel, False
            if self._setup is not None:
                channel.send(self._setup)
            for make in self._unsent:
                channel.send_made(make)
            self._unsent.clear()
            if self._keeper.is_closing:
                channel.send(Stop())

    def _take(self, message: FromChild) -> str:
        if isinstance(message, State):
            self._take_state(message)
            return ""
        number, news = message
        if isinstance(news, Wanted):
            self.tell(number, partial(self._works.read, number, news.index))
        else:
            self._works.tell(number, news)
        return ""

    def _take_state(self, state: State) -> None:
        with self._lock:
            self._state = state
        if state.is_ready:
            self._keeper.succeed()
            self.failure = ""
            if not self.ready.done():
                self.ready.set_result(None)
        is_busy = self._is_engine_busy()
        if is_busy != self._told_busy and self._channel is not None:
            self._told_busy = is_busy
            self._channel.send(EngineBusy(is_busy))

    def _survives(self, reason: str) -> bool:
        """Take it that the process has ended. Returns whether it is to be started again."""
        logger.error("%s has ended: %s", self._name, reason)
        with self._lock:
            self._channel = None
            self._lost = State(worked_s=self.worked_s, prepared_audio_s=self.prepared_audio_s)
            self._state = State()
            tell_all = self._remove_all()
        tell_all(PreparationEnd(duration_s=0.0, error=EngineLost(LOST)))
        if self._keeper.n_failures >= FAILED_AFTER:
            self.failure = f"{self._name}: {reason}"
        if self.ready.done():
            return True
        self.ready.set_exception(
            ModelUnavailable(
                f"a process that prepares audio cannot be started: {reason}; allowed without such processes: "
                "--preparation-processes 0"
            )
        )
        return False

    def _remove_all(self) -> Callable[[News], None]:
        """Forget all recordings. They are told without the lock: who takes a chunk has theirs, and wants ours."""
        self._unsent.clear()
        return self._works.remove_all()
