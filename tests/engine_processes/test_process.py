"""An engine's process is started, watched and started again. The processes are real, and have no engine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hf_asr_endpoint.audio.blocks import RemoteAudio
from hf_asr_endpoint.cancellation import SHUTTING_DOWN
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.engine_processes.engine import EngineOrder
from hf_asr_endpoint.engine_processes.messages import Ended, FromEngine, News, ToEngine, Transcribe
from hf_asr_endpoint.engine_processes.placement import Place
from hf_asr_endpoint.engine_processes.process import EngineNotReady, EngineProcess
from hf_asr_endpoint.errors import AsrError, EngineLost, EngineUnavailable, ModelUnavailable
from hf_asr_endpoint.model_choice import choose_models
from hf_asr_endpoint.processes import keeper
from hf_asr_endpoint.processes.blocks import Block
from hf_asr_endpoint.processes.channel import Channel
from hf_asr_endpoint.transcription.orders import Order
from hf_asr_endpoint.types import ANYBODY, TranscriptionOptions
from tests.engine_processes.conftest import DEADLINE_S, wait_for
from tests.engine_processes.scripted import run

Start = Callable[..., EngineProcess]
AUDIO = RemoteAudio(n_bytes=0, samples=None, sample_rate=None, pcm=None, max_audio_s=1.0, audio_track=None)
REQUEST = Transcribe(AUDIO, TranscriptionOptions(), Order.of(ANYBODY, streams=False))


class Waiting:
    """Work that nobody does."""

    def __init__(self) -> None:
        self.errors: list[AsrError | None] = []

    def take(self, news: News) -> None:
        assert isinstance(news, Ended)
        self.errors.append(news.error)

    def read(self, index: int) -> Block:
        raise AssertionError("nobody wants its audio")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Start:
    """Starts an engine, whose starts do what the arguments say, one after another."""
    monkeypatch.setattr(keeper, "MIN_WAIT_S", 0.01)

    def begin(*script: str) -> EngineProcess:
        settings = Settings(cache_dir=tmp_path)
        choice = choose_models(settings)[0].model_copy(update={"names": script})
        place = Place(name="cuda:0", device="cuda", variables={})
        engine = EngineProcess(EngineOrder(place=place, choice=choice, settings=settings), main=run)
        request.addfinalizer(engine.close)
        engine.start()
        return engine

    return begin


def wait_until_ready(engine: EngineProcess) -> None:
    wait_for(lambda: engine.state.state == "ready")


def test_an_engine_that_cannot_be_loaded_at_first_is_not_tried_again(start: Start, tmp_path: Path) -> None:
    engine = start("refuses", "works")
    with pytest.raises(ModelUnavailable, match="the engine on cuda:0 cannot be loaded: no memory"):
        engine.loaded.result(DEADLINE_S)
    engine.close()
    assert (tmp_path / "starts").read_text() == "x"


def test_a_process_that_dies_while_it_loads_is_told(start: Start) -> None:
    with pytest.raises(ModelUnavailable, match="it has ended, with exit code 7"):
        start("dies").loaded.result(DEADLINE_S)


def test_a_lost_device_gets_another_process(start: Start) -> None:
    engine = start("loses its device", "works")
    engine.loaded.result(DEADLINE_S)
    wait_for(lambda: engine.state.n_restarts == 1 and engine.state.state == "ready")
    assert engine.activity.tokens == 20, "of both processes"
    assert engine.activity.slots == 4


def test_a_process_that_is_silent_is_replaced(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(Channel[FromEngine, ToEngine]):
        """Waits for the first message only."""

        def receive(self, *, timeout_s: float | None = None) -> Iterator[FromEngine]:
            first = super().receive()
            yield next(first)
            yield from super().receive(timeout_s=0.05)

    monkeypatch.setattr(keeper, "Channel", Impatient)
    engine = start("works", "works")
    told: list[str] = []
    engine.watch(lambda: told.append(engine.state.detail))
    wait_for(lambda: engine.state.n_restarts >= 1)  # The next ones are replaced as well.
    assert told[1] == "its process to start again (it has told nothing for 120 s)"


def test_an_engine_that_fails_again_and_again_counts_as_failed_until_it_succeeds(start: Start) -> None:
    engine = start("loses its device", "dies", "refuses", "dies", "works")
    told: list[tuple[str, str]] = []
    engine.watch(lambda: told.append((engine.state.state, engine.state.detail)))
    wait_for(lambda: engine.state.n_restarts == 4 and told[-1:] == [("ready", "")])
    states = [state for state, _ in told]
    assert states[-4:] == ["loading", "loading", "failed", "ready"]
    assert told[-3][1] == "its process to start again (no memory)"
    assert told[-2][1] == "it has ended, with exit code 7"


def test_work_of_a_process_that_ends_ends_with_it(start: Start) -> None:
    engine = start("works", "works")
    wait_until_ready(engine)
    work = Waiting()
    engine.give(work, REQUEST)
    assert (engine.load.n_requests, engine.load.n_unreported) == (1, 1)
    for child in multiprocessing.active_children():
        child.kill()
    wait_for(lambda: bool(work.errors))
    assert isinstance(work.errors[0], EngineLost)
    assert engine.load.n_requests == 0
    wait_until_ready(engine)
    assert engine.load.n_unreported == 0


@pytest.mark.parametrize("script", ["works", "loads for ever"])
def test_an_engine_that_is_closed_ends_its_work_and_its_process(start: Start, script: str) -> None:
    engine = start(script)
    work = Waiting()
    if script == "works":
        wait_until_ready(engine)
        engine.give(work, REQUEST)
    else:
        wait_for(lambda: bool(multiprocessing.active_children()))
    engine.close()
    assert multiprocessing.active_children() == []
    assert [str(error) for error in work.errors] == [SHUTTING_DOWN] * (script == "works")
    with pytest.raises(EngineNotReady):
        engine.give(work, REQUEST)
    if script != "works":
        with pytest.raises(EngineUnavailable):
            engine.loaded.result(0)
