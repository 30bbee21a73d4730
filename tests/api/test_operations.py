from __future__ import annotations

import threading
from typing import Literal

import pytest
import requests

from hf_asr_endpoint import __version__
from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.types import EngineState, Health
from tests.api.conftest import DEADLINE_S, MODEL_NAMES, Serve, make_services, serve_app
from tests.fakes import FakeTranscriber


def test_health_is_200_when_ready(url: str) -> None:
    answer = requests.get(f"{url}/health", timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_health_is_503_while_loading_and_shows_the_step(serve: Serve) -> None:
    loading = FakeTranscriber(health=Health(state="loading", detail="the weights to be converted"))
    answer = requests.get(f"{serve(loading)}/health", timeout=10)
    assert answer.status_code == 503
    assert answer.json() == {"status": "loading", "waiting_for": "the weights to be converted"}


def test_health_is_503_after_a_failure_and_shows_it(serve: Serve) -> None:
    failed = FakeTranscriber(health=Health(state="failed", detail="no such model"))
    answer = requests.get(f"{serve(failed)}/health", timeout=10)
    assert (answer.status_code, answer.json()) == (503, {"status": "failed", "error": "no such model"})


def test_health_tells_what_a_ready_server_lacks(serve: Serve) -> None:
    lacking = FakeTranscriber(health=Health(state="ready", detail="1 of 2 engine replicas are ready"))
    answer = requests.get(f"{serve(lacking)}/health", timeout=10)
    assert (answer.status_code, answer.json()["detail"]) == (200, "1 of 2 engine replicas are ready")


@pytest.mark.parametrize(
    ("state", "live", "ready"), [("loading", 200, 503), ("ready", 200, 200), ("failed", 503, 503)]
)
def test_a_server_that_loads_is_alive_and_one_that_failed_is_not(
    serve: Serve, state: Literal["loading", "ready", "failed"], live: int, ready: int
) -> None:
    url = serve(FakeTranscriber(health=Health(state=state)))
    for path, status in (("live", live), ("ready", ready)):
        answer = requests.get(f"{url}/health/{path}", timeout=10)
        assert (answer.status_code, answer.json()["status"]) == (status, state)


def test_info_shows_the_model_and_the_limits(url: str) -> None:
    info = requests.get(f"{url}/info", timeout=10).json()
    assert info["model_id"] == MODEL_NAMES[0]
    assert info["model_names"] == [*MODEL_NAMES, "whisper-1"]
    assert info["version"] == __version__
    assert info["model"] == {
        "engine": "native",
        "engine_reason": "",
        "device": "cpu",
        "dtype": "float32",
        "cpu_level": None,
        "n_threads": 1,
        "is_multilingual": True,
        "n_mels": 80,
        "memory_bytes": 0,
    }
    assert info["models"] == [
        {
            "id": MODEL_NAMES[0],
            "names": list(MODEL_NAMES),
            "status": "ready",
            "model": info["model"],
            "engines": [],
        }
    ]
    assert info["limits"] == {
        "max_audio_bytes": 300_000,
        "openai_max_audio_bytes": 200_000,
        "max_audio_s": 30.0,
        "max_concurrent_requests": 4,
    }


def test_engines_in_processes_of_their_own_are_shown(serve: Serve) -> None:
    engines = (
        EngineState(name="cuda:0", state="ready"),
        EngineState(name="cuda:1", state="loading", detail="the weights to be loaded", n_restarts=2),
    )
    url = serve(FakeTranscriber(health=Health(state="ready", engines=engines)))
    (model,) = requests.get(f"{url}/info", timeout=10).json()["models"]
    assert model["engines"] == [
        {"name": "cuda:0", "status": "ready", "detail": "", "restarts": 0},
        {"name": "cuda:1", "status": "loading", "detail": "the weights to be loaded", "restarts": 2},
    ]
    lines = requests.get(f"{url}/metrics", timeout=10).text.splitlines()
    labels = f'{{engine="cuda:1",model="{MODEL_NAMES[0]}"}}'
    assert f"hf_asr_engine_ready{labels} 0.0" in lines
    assert f"hf_asr_engine_restarts_total{labels} 2.0" in lines


def test_info_has_no_model_while_loading(serve: Serve) -> None:
    loading = FakeTranscriber(health=Health(state="loading", detail="weights"))
    info = requests.get(f"{serve(loading)}/info", timeout=10).json()
    assert (info["status"], info["model"]) == ("loading", None)


def test_shutdown_closes_the_transcriber() -> None:
    fake = FakeTranscriber()
    with serve_app(create_app(make_services(fake))):
        assert not fake.is_closed
    assert fake.is_closed


def test_startup_begins_to_load_the_model() -> None:
    started = threading.Event()
    with serve_app(create_app(make_services(FakeTranscriber(), start=started.set))):
        assert started.wait(DEADLINE_S)
