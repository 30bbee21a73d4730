"""A process that prepares audio is set up, watched and started again. The process is played by the test."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from queue import Queue
from typing import Any

import pytest

from hf_asr_endpoint.errors import EngineUnavailable, ModelUnavailable
from hf_asr_endpoint.preparation_processes.messages import (
    Cancel,
    EngineBusy,
    FromChild,
    News,
    Release,
    Setup,
    State,
    Stop,
)
from hf_asr_endpoint.preparation_processes.process import LOST, PreparationProcess
from hf_asr_endpoint.processes import keeper
from hf_asr_endpoint.processes.blocks import Block, Wanted
from hf_asr_endpoint.processes.buffer_pipe import BufferPipe
from hf_asr_endpoint.processes.program import start_program
from hf_asr_endpoint.transcription.preparation import PreparationEnd
from tests.engine_processes.conftest import wait_for
from tests.fakes import DEADLINE_S
from tests.preparation_processes.conftest import MAKER

SETUP = Setup(make_spectrogram=MAKER, shares_cores=True, log_level=30, log_format="text")


class Played:
    """A `ChildProcess` whose end of the pipe the test has."""

    exitcode = 7

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.ours, self.theirs = BufferPipe(ours), BufferPipe(theirs)
        self._lives = True

    def is_alive(self) -> bool:
        return self._lives

    def kill(self) -> None:
        self._lives = False
        self.theirs.close()

    def join(self, timeout: float | None = None) -> None:
        pass

    def tell(self, *messages: FromChild) -> None:
        for message in messages:
            self.theirs.send(message)

    def told(self, n: int) -> list[Any]:
        return [self.theirs.recv() for _ in range(n)]


class Waiting:
    """A recording that nobody works on."""

    def __init__(self) -> None:
        self.news: list[News] = []

    def take(self, news: News) -> None:
        self.news.append(news)

    def read(self, index: int) -> Block:
        return Block(None, f"no block {index}")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Queue[Played]:
    """The processes that have been started."""
    monkeypatch.setattr(keeper, "MIN_WAIT_S", 0.01)
    return Queue()


@pytest.fixture
def process(started: Queue[Played]) -> Iterator[PreparationProcess]:
    def start() -> tuple[BufferPipe, Played]:
        played = Played()
        started.put(played)
        return played.ours, played

    with closing(PreparationProcess("preparation 0", start=start)) as process:
        yield process
        process.begin_to_close()
        while not started.empty():
            started.get().kill()


def ready(started: Queue[Played], process: PreparationProcess) -> Played:
    """Set the first process up, and return it."""
    played = started.get(timeout=DEADLINE_S)
    process.set_up(SETUP, is_engine_busy=lambda: False)
    played.tell(State(is_ready=True, worked_s=1.0, prepared_audio_s=500.0))
    process.ready.result(DEADLINE_S)
    assert played.told(1) == [SETUP]
    started.put(played)
    return played


def test_a_process_is_told_of_its_recordings(started: Queue[Played], process: PreparationProcess) -> None:
    played, work = ready(started, process), Waiting()
    number = process.add(work)
    process.tell(number, Release)
    played.tell((number, Wanted(3)))
    end = PreparationEnd(duration_s=1.0, error=None)
    assert played.told(2) == [(number, Release()), (number, Block(None, "no block 3"))]
    played.tell((number, end))
    wait_for(lambda: work.news == [end])
    process.tell(number, Cancel)
    assert process.n_recordings == 0
    assert not played.theirs.poll(0.0), "nothing is told of what has ended"


def test_recordings_between_two_processes_wait_for_the_next(
    started: Queue[Played], process: PreparationProcess
) -> None:
    first, lost, waiting = ready(started, process), Waiting(), Waiting()
    process.add(lost)
    started.get().kill()
    wait_for(lambda: bool(lost.news))
    assert [str(end.error) for end in lost.news if isinstance(end, PreparationEnd)] == [LOST]
    number = process.add(waiting)
    process.tell(number, Release)
    second = started.get(timeout=DEADLINE_S)
    assert second.told(2) == [SETUP, (number, Release())]
    assert not process.is_ready
    second.tell(State(is_ready=True, worked_s=2.0, prepared_audio_s=10.0))
    wait_for(lambda: process.is_ready)
    assert (process.worked_s, process.prepared_audio_s) == (3.0, 510.0)
    assert (first.exitcode, waiting.news) == (7, [])
    started.put(second)


def test_a_process_learns_whether_the_engine_is_busy(started: Queue[Played], process: PreparationProcess) -> None:
    played = started.get(timeout=DEADLINE_S)
    is_busy = True
    process.set_up(SETUP, is_engine_busy=lambda: is_busy)
    played.tell(State(), State(), State(is_ready=True))
    assert played.told(2) == [SETUP, EngineBusy(True)]
    is_busy = False
    played.tell(State(is_ready=True))
    assert played.told(1) == [EngineBusy(False)]
    started.put(played)


def test_a_process_that_fails_again_and_again_is_told_until_it_succeeds(
    started: Queue[Played], process: PreparationProcess
) -> None:
    ready(started, process)
    started.get().kill()
    for _ in range(keeper.FAILED_AFTER):
        assert process.failure == ""
        started.get(timeout=DEADLINE_S).kill()
    wait_for(lambda: process.failure == "preparation 0: it has ended, with exit code 7")
    last = started.get(timeout=DEADLINE_S)
    last.tell(State(is_ready=True))
    wait_for(lambda: process.failure == "")
    started.put(last)


def test_closing_tells_the_process_and_refuses_recordings(
    started: Queue[Played], process: PreparationProcess
) -> None:
    played = ready(started, process)
    process.begin_to_close()
    assert played.told(1) == [Stop()]
    with pytest.raises(EngineUnavailable):
        process.add(Waiting())


def no_program() -> tuple[BufferPipe, Played]:
    raise OSError("no memory")


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        pytest.param(no_program, "its process cannot be started: no memory", id="refused"),
        pytest.param(
            lambda: start_program("hf_asr_endpoint.units", variables={}),
            "it has ended, with exit code 0",
            id="ends at once",
        ),
    ],
)
def test_a_first_start_without_success_is_told(start: Callable[[], Any], reason: str) -> None:
    with closing(PreparationProcess("preparation 0", start=start)) as process:
        expected = (
            f"a process that prepares audio cannot be started: {reason}; allowed without such processes: "
            "--preparation-processes 0"
        )
        with pytest.raises(ModelUnavailable) as raised:
            process.ready.result(DEADLINE_S)
        assert str(raised.value) == expected
