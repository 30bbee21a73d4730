"""This project's server, in its own process, over HTTP."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import requests

from bench.engines.protocol import EngineOptions
from hf_asr_endpoint.config import variable_of
from tests.server import run_server

GREEDY_ENGLISH: Mapping[str, str] = {"language": "en", "num_beams": "1"}
"""The same options as for the peers. All others are the server's defaults."""

REQUEST_TIMEOUT_S = 6 * 3600.0


class ServerEngine:
    """Starts `hf-asr serve` on a free port and posts one file after another."""

    def __init__(self, options: EngineOptions, *, dtype: str) -> None:
        self._model = options.weights
        self._environment = environment(dtype=dtype)
        self._running = contextlib.ExitStack()
        self._session = requests.Session()
        self._query = {**GREEDY_ENGLISH, "num_beams": str(options.n_beams)}
        self._url = ""

    def load(self) -> int:
        try:
            server = self._running.enter_context(run_server("--model", self._model, env=self._environment))
        except RuntimeError as exc:
            raise RuntimeError(
                str(exc).strip().splitlines()[-1]
            ) from exc  # The last line of the log is the reason.
        self._url = server.url
        return server.process.pid

    def transcribe(self, path: Path) -> str:
        text: str = post(self._session, self._url, path.read_bytes(), self._query).json()["text"]
        return text

    def close(self) -> None:
        self._session.close()
        self._running.close()


def post(
    session: requests.Session, url: str, audio: bytes | BinaryIO, query: Mapping[str, str] = GREEDY_ENGLISH
) -> requests.Response:
    """Return the response to a transcription request. Raises RuntimeError for an error status."""
    answer = session.post(url, params=query, data=audio, timeout=REQUEST_TIMEOUT_S)
    if not answer.ok:
        raise RuntimeError(f"HTTP {answer.status_code}: {answer.text}")
    return answer


def environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with server settings, given by their names in Settings."""
    return {**os.environ, **{variable_of(name): str(value) for name, value in settings.items()}}
