"""What the suite shares: the outcomes of each client's script, which runs once, when a test first asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.clients.client import Client
from tests.clients.running import run_client
from tests.conftest import DATA
from tests.server import Server

ENGLISH = DATA / "367-130732-0001.flac"
GERMAN = DATA / "fleurs-de-005.ogg"

OutcomesOf = Callable[[Client], dict[str, Any]]


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
