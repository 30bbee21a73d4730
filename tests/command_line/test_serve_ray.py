"""What `hf-asr serve --ray` says where Ray Serve runs already, without Ray's processes."""

from __future__ import annotations

import contextlib
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import InvalidSettings

pytest.importorskip("ray", reason="Ray is not installed; `make test-ray` has it")

from ray import serve
from ray.serve import context
from ray.serve.exceptions import RayServeException

from hf_asr_endpoint.command_line import serve_ray
from hf_asr_endpoint.command_line.serve_ray import NotDeployed, serve_on_ray


@pytest.fixture
def deleted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Applications removed from a cluster whose Serve listens on 0.0.0.0, port 9000, and has the route taken."""
    names: list[str] = []
    listening = SimpleNamespace(http_config=SimpleNamespace(host="0.0.0.0", port=9000))

    def refuse(*_: Any, **__: Any) -> None:
        raise RayServeException("Prefix / is being used")

    monkeypatch.setattr(serve_ray, "connected", lambda address: contextlib.nullcontext())
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(serve, "start", lambda http_options: None)
    monkeypatch.setattr(context, "_get_global_client", lambda: listening)
    monkeypatch.setattr(serve, "run", refuse)
    monkeypatch.setattr(serve, "delete", names.append)
    return names


@pytest.mark.parametrize("given", [{"port": 9001}, {"host": "127.0.0.1", "port": 9000}])
def test_another_address_than_that_of_a_running_serve_is_refused(
    deleted: list[str], given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidSettings, match=r"listens on 0\.0\.0\.0, port 9000"):
        serve_on_ray(Settings(**given), "auto")
    assert not deleted  # What runs there stays.


@pytest.mark.parametrize("given", [{}, {"port": 9000}, {"port": 0}])
def test_a_route_that_is_taken_is_told(deleted: list[str], given: dict[str, Any]) -> None:
    with pytest.raises(NotDeployed, match="Prefix / is being used"):
        serve_on_ray(Settings(**given), "auto")


@pytest.mark.parametrize(("keys", "n_warnings"), [({}, 1), ({"api_keys": "a-secret-key"}, 0)])
def test_a_server_without_keys_that_others_reach_is_told(
    deleted: list[str], caplog: pytest.LogCaptureFixture, keys: dict[str, Any], n_warnings: int
) -> None:
    with pytest.raises(NotDeployed):
        serve_on_ray(Settings(**keys), "auto")
    warnings = [one for one in caplog.messages if "no API keys are set" in one]
    assert len(warnings) == n_warnings
