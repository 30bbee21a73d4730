"""What many engines come to, without Ray's processes."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from hf_asr_endpoint.types import Activity, Health, ModelInfo
from tests.fakes import FakeClock

pytest.importorskip("ray", reason="Ray is not installed; `make test-ray` has it")

from hf_asr_endpoint.ray_serve.board import GONE_AFTER_S, LOST_AFTER_S, Board, ModelState, Report

INFO = ModelInfo(device="cpu", dtype="int8", is_multilingual=True, n_mels=80)
READY = Health(state="ready", model=INFO)


def report(replica: str, *, health: Health = READY, tokens: int = 10) -> Report:
    activity = Activity(slots=16, slots_in_use=1, speed=2.0, tokens=tokens, windows={"finished": 2})
    return Report(replica=replica, model="base", health=health, activity=activity)


def state_after(clock: FakeClock, board: Board, *reports: Report) -> ModelState:
    async def take() -> ModelState:
        for one in reports:
            await board.report(one)
        return (await board.exchange("http", [])).models["base"]

    return asyncio.run(take())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def board(clock: FakeClock) -> Board:
    return Board({"base": 2}, now=clock)


def test_a_model_without_engines_is_loading(clock: FakeClock, board: Board) -> None:
    assert state_after(clock, board).health == Health(state="loading", detail="an engine replica to start")


def test_a_step_of_loading_is_told(clock: FakeClock, board: Board) -> None:
    loading = Health(state="loading", detail="the weights to be loaded")
    assert state_after(clock, board, report("a", health=loading)).health == loading


def test_one_ready_engine_is_enough_and_the_other_is_missed(clock: FakeClock, board: Board) -> None:
    health = state_after(clock, board, report("a")).health
    assert health == Health(state="ready", model=INFO, detail="1 of 2 engine replicas are ready")
    assert state_after(clock, board, report("b")).health == READY


def test_engines_are_added_up(clock: FakeClock, board: Board) -> None:
    activity = state_after(clock, board, report("a"), report("b", tokens=5)).activity
    assert (activity.slots, activity.tokens, activity.speed) == (32, 15, 4.0)
    assert activity.windows == {"finished": 4}


def test_an_engine_that_is_gone_has_no_slots_but_its_counters_stay(clock: FakeClock, board: Board) -> None:
    state_after(clock, board, report("a"), report("b"))
    clock.seconds += GONE_AFTER_S + 0.1
    state = state_after(clock, board, report("b", tokens=11))
    assert "1 of 2" in state.health.detail
    assert (state.activity.slots, state.activity.slots_in_use) == (16, 1)
    assert state.activity.tokens == 10 + 11
    clock.seconds += LOST_AFTER_S
    assert state_after(clock, board, report("c", tokens=1)).activity.tokens == 10 + 11 + 1


def test_an_engine_that_returns_is_counted_once(clock: FakeClock, board: Board) -> None:
    state_after(clock, board, report("a"))
    clock.seconds += GONE_AFTER_S + 0.1
    assert state_after(clock, board).activity.tokens == 10
    state = state_after(clock, board, report("a", tokens=12))
    assert (state.health.state, state.activity.slots, state.activity.tokens) == ("ready", 16, 12)


def requests_counted(n: float) -> list[Metric]:
    return [CounterMetricFamily("requests", "…", value=n), GaugeMetricFamily("in_flight", "…", value=1)]


def test_an_http_replica_reads_what_the_others_count_and_counted(clock: FakeClock, board: Board) -> None:
    async def exchange(replica: str, n: float) -> dict[str, float]:
        news = await board.exchange(replica, requests_counted(n))
        return {family.name: sum(sample.value for sample in family.samples) for family in news.counted}

    async def talk() -> None:
        assert await exchange("a", 5) == {}
        assert await exchange("b", 2) == {"requests": 5, "in_flight": 1}
        clock.seconds += GONE_AFTER_S + 0.1
        assert await exchange("b", 3) == {"requests": 5}
        await exchange("a", 6)
        assert await exchange("b", 3) == {"requests": 6, "in_flight": 1}
        clock.seconds += LOST_AFTER_S + 0.1
        assert await exchange("c", 1) == {"requests": 6 + 3}

    asyncio.run(talk())
