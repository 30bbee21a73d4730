"""What tests share: recordings, converted weights, live servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server, run_server

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for converted weights, empty when the session begins."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def server(cache_dir: Path) -> Iterator[Server]:
    """The server as a user starts it, with whisper-base."""
    with run_server("--cache-dir", str(cache_dir), "--max-audio-bytes", "2MiB", "--max-audio-s", "60") as running:
        yield running


@pytest.fixture(scope="session")
def jfk() -> bytes:
    """An mp3 of 11 s of English speech."""
    return (DATA / "jfk.mp3").read_bytes()
