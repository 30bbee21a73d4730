"""What the suite shares: the outcomes of each client's script, which runs once, when a test first asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.clients.client import Client
from tests.clients.running import run_client
from tests.conftest import DATA, ON_RAY, SERVER_FLAGS
from tests.server import Server, run_server

ENGLISH = DATA / "367-130732-0001.flac"
GERMAN = DATA / "fleurs-de-005.ogg"

OutcomesOf = Callable[[Client], dict[str, Any]]


@pytest.fixture(scope="package")
def transformers_server(cache_dir: Path) -> Iterator[Server]:
    """The suite's server, computed by transformers."""
    if ON_RAY:
        pytest.skip("transformers is tested without Ray")
    with run_server("--engine", "transformers", "--cache-dir", str(cache_dir), *SERVER_FLAGS) as running:
        yield running


@pytest.fixture(scope="module", params=["native", "transformers"])
def either_server(request: pytest.FixtureRequest) -> Server:
    """A server with whisper-base, once on each engine."""
    return server_on(request.param, request)


@pytest.fixture(scope="module", params=["native", pytest.param("transformers", marks=pytest.mark.slow)])
def either_server_slowly(request: pytest.FixtureRequest) -> Server:
    """The same for tests that take transformers half a minute each: `make test-trained` runs them."""
    return server_on(request.param, request)


def server_on(engine: str, request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue("server" if engine == "native" else "transformers_server")
    return found


@pytest.fixture(scope="session")
def no_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text that is named like a recording."""
    path = tmp_path_factory.mktemp("clients") / "no_audio.wav"
    path.write_text("This is a text, not a recording.\n")
    return path


@pytest.fixture(scope="session")
def outcomes_of(server: Server, no_audio: Path) -> OutcomesOf:
    """Return what each call of a client's script came to, by its name."""

    @cache
    def run(client: Client) -> dict[str, Any]:
        recordings = [str(ENGLISH)] if client.source == "npm" else [str(ENGLISH), str(GERMAN)]
        return run_client(client, server.url, *recordings, str(no_audio))

    return run
