"""What the states of several engines come to."""

from __future__ import annotations

from hf_asr_endpoint.engine_processes.transcriber import join_states
from hf_asr_endpoint.types import EngineState, EngineStatus, Health


def engine(index: int, state: EngineStatus, detail: str = "") -> EngineState:
    return EngineState(name=f"cuda:{index}", state=state, detail=detail)


def joined(*engines: EngineState) -> tuple[str, str]:
    health = join_states(engines, None)
    assert health == Health(state=health.state, detail=health.detail, engines=engines)
    return health.state, health.detail


def test_all_engines_lack_nothing() -> None:
    assert joined(engine(0, "ready"), engine(1, "ready")) == ("ready", "")


def test_one_engine_is_enough_and_the_others_are_told() -> None:
    lost = engine(0, "loading", "the weights to be loaded")
    failed = engine(2, "failed", "the device is lost")
    assert joined(lost, engine(1, "ready"), failed) == (
        "ready",
        "1 of 3 engines are ready; cuda:0: the weights to be loaded; cuda:2: the device is lost",
    )


def test_requests_wait_as_long_as_one_engine_may_come_back() -> None:
    lost, failed = engine(0, "loading", "the weights to be loaded"), engine(1, "failed", "the device is lost")
    assert joined(lost, failed) == ("loading", "cuda:0: the weights to be loaded; cuda:1: the device is lost")


def test_without_any_hope_requests_are_refused() -> None:
    assert joined(engine(0, "failed", "the device is lost")) == ("failed", "cuda:0: the device is lost")
