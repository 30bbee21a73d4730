"""The application in this process, over a real socket, with a fake Transcriber."""

from __future__ import annotations

import asyncio
import io
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
import soundfile
import uvicorn
from starlette.types import ASGIApp

from hf_asr_endpoint.api.app import create_app, make_dialects
from hf_asr_endpoint.api.body import RequestLimits
from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.metrics import Metrics
from hf_asr_endpoint.api.paths import PathTable
from hf_asr_endpoint.api.realtime.secrets import ClientSecrets
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.api.services import Services
from hf_asr_endpoint.jobs.jobs import NoJobs
from hf_asr_endpoint.transcription.transcriber import Transcriber
from tests.fakes import FakeTranscriber

MODEL_NAMES = ("openai/whisper-base", "whisper-base")
MODELS = ServedModels([ServedModel(names=MODEL_NAMES)])
STOP_TIMEOUT_S = 20.0
DEADLINE_S = 60.0  # A machine may be slow, and others' tests beside this one.
POLL_INTERVAL_S = 0.005

Serve = Callable[..., str]
"""Serves a Transcriber, with changed limits, until the test ends; returns the URL."""


class _QuickAsyncio:
    """asyncio for uvicorn's server, which polls ten times a second: a test's server took 150 ms to stop."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, delay: float) -> None:
        await asyncio.sleep(delay / 20)


# It stands for the module, which mypy expects there.
uvicorn.server.asyncio = _QuickAsyncio()  # type: ignore[assignment]


@contextmanager
def serve_app(app: ASGIApp, *, listener: socket.socket | None = None, **changes: Any) -> Iterator[str]:
    """Run an application on a free port, in a thread. changes: of uvicorn's settings."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    settings = {"log_config": None, "timeout_graceful_shutdown": 5, **changes}
    server = uvicorn.Server(uvicorn.Config(app, **settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(STOP_TIMEOUT_S)
        listener.close()


def make_limits(**changes: float) -> RequestLimits:
    """Return limits small enough for tests, with changes."""
    values = {
        "max_audio_bytes": 300_000,
        "openai_max_audio_bytes": 200_000,
        "max_audio_s": 30.0,
        "max_concurrent_requests": 4,
        "max_wait_s": 60.0,
        "upload_idle_timeout_s": 5.0,
        "upload_timeout_s": 20.0,
        "request_timeout_s": 60.0,
    }
    return RequestLimits(**{**values, **changes})


def make_services(transcriber: Transcriber, **changes: Any) -> Services:
    """Return services with a Transcriber and small limits, with changes."""
    return Services(**{"transcriber": transcriber, "models": MODELS, "limits": make_limits(), **changes})


def make_path_table() -> PathTable:
    """Return the application's table of paths."""
    services, in_flight = make_services(FakeTranscriber()), InFlightRequests(1)
    metrics = Metrics(services.transcriber, models=services.models, in_flight=in_flight)
    dialects = make_dialects(services, NoJobs(""), in_flight, metrics, ClientSecrets())
    return PathTable(dialect.paths for dialect in dialects)


def every_path() -> list[tuple[str, str]]:
    """Return a method and a path for each of the application's endpoints."""
    return sorted({(end.method, re.sub(r"{[^}]*}", "x", end.path)) for end, _ in make_path_table().endpoints})


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(transcriber: Transcriber, **limits: float) -> str:
            services = make_services(transcriber, limits=make_limits(**limits))
            return stack.enter_context(serve_app(create_app(services)))

        yield start


@pytest.fixture
def transcriber() -> Iterator[FakeTranscriber]:
    fake = FakeTranscriber()
    yield fake
    fake.release()


@pytest.fixture
def url(serve: Serve, transcriber: FakeTranscriber) -> str:
    return serve(transcriber)


@pytest.fixture(scope="session")
def wav() -> bytes:
    """One second of a quiet tone, 16 kHz."""
    return make_wav(16_000)


def make_wav(n_samples: int) -> bytes:
    file = io.BytesIO()
    tone = 0.1 * np.sin(np.arange(n_samples) * 2 * np.pi * 440 / 16_000)
    soundfile.write(file, tone, 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll a condition inside the server, which sends no signal when it becomes true."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(POLL_INTERVAL_S)
