"""A running server, over OpenAI's API."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable
from typing import Any

import httpx2
from pydantic import ValidationError

from hf_asr_endpoint.command_line.transcribe.answer import Answer, read_answer
from hf_asr_endpoint.command_line.transcribe.backend import BackendFailed, Report
from hf_asr_endpoint.command_line.transcribe.form import Form
from hf_asr_endpoint.command_line.transcribe.inputs import Recording
from hf_asr_endpoint.errors import AsrError, InvalidParameter
from hf_asr_endpoint.messages import show_value
from hf_asr_endpoint.types import Progress, Transcription

MAX_IN_FLIGHT = 32
"""Half of the requests that a server takes by default."""

CONNECT_TIMEOUT_S, WRITE_TIMEOUT_S = 10.0, 120.0
MAX_RETRY_AFTER_S, MAX_WAIT_S = 60.0, 1800.0
"""Of one wait for a server that is overloaded or starts, and of all waits for one recording."""

TRY_AGAIN = (http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE)
OF_THE_FILE = (None, "file", "audio_track")
"""Parameters in errors about one recording. Errors about others are about all recordings."""


class ServerBackend:
    """Sends each recording as a request."""

    max_in_flight = MAX_IN_FLIGHT

    def __init__(self, url: str, *, api_key: str | None, model: str | None, form: Form) -> None:
        """url: of the server, with or without /v1. Raises InvalidParameter for one that is none."""
        self._base = url.rstrip("/").removesuffix("/v1")
        if httpx2.URL(self._base).scheme not in ("http", "https"):
            raise InvalidParameter(f"--server is {url!r}; allowed: a URL such as http://localhost:8000")
        self._fields: dict[str, Any] = {}
        for name, text in (*form.fields, *([("model", model)] if model is not None else [])):
            self._fields.setdefault(name, []).append(text)
        path = "transcriptions" if form.task == "transcribe" else "translations"
        self._url = f"{self._base}/v1/audio/{path}"
        self._client = httpx2.AsyncClient(
            headers={} if api_key is None else {"Authorization": f"Bearer {api_key}"},
            # The server limits how long it works on a request; nobody knows here how long that takes.
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S, write=WRITE_TIMEOUT_S),
            limits=httpx2.Limits(max_connections=MAX_IN_FLIGHT),
        )

    async def start(self, report: Report) -> None:
        """Ask for the server's models, which shows whether it is there and takes the key."""
        report(f"the server {self._base}")
        response = await self._send(self._client.build_request("GET", f"{self._base}/v1/models"))
        if response.is_error:
            raise BackendFailed(f"the server {self._base} refuses: {_message(response)}")

    async def transcribe(self, recording: Recording, on_progress: Callable[[Progress], None]) -> Transcription:
        with recording.open() as file:
            waited_s = 0.0
            while True:
                file.seek(0)
                # Without the file's name, which may have any characters: the bytes show what it is.
                files = {"file": ("audio", file)}
                response = await self._send(
                    self._client.build_request("POST", self._url, data=self._fields, files=files)
                )
                if response.status_code not in TRY_AGAIN or waited_s >= MAX_WAIT_S:
                    break
                wait_s = _retry_after_s(response)
                waited_s += wait_s
                await asyncio.sleep(wait_s)
        if response.is_error:
            raise _error(response)
        try:
            transcription = read_answer(Answer.model_validate_json(response.content))
        except ValidationError as exc:
            raise AsrError(f"the answer of {self._base} is not verbose_json: {exc.errors()[0]['msg']}") from exc
        on_progress(Progress(done_s=transcription.duration_s, length_s=transcription.duration_s))
        return transcription

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return await self._client.send(request)
        except httpx2.HTTPError as exc:
            reason = str(exc) or type(exc).__name__
            raise BackendFailed(f"the server {self._base} cannot be reached, or left: {reason}") from exc


def _retry_after_s(response: httpx2.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text) if text.isdecimal() else 1.0, MAX_RETRY_AFTER_S)


def _error(response: httpx2.Response) -> AsrError:
    message = _message(response)
    if response.status_code in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        return BackendFailed(f"the server refuses: {message}")
    if (parameter := _field(response, "param")) not in OF_THE_FILE:
        return InvalidParameter(message, parameter=parameter)
    return AsrError(message)


def _message(response: httpx2.Response) -> str:
    return _field(response, "message") or f"status {response.status_code}, {show_value(response.text)}"


def _field(response: httpx2.Response, name: str) -> str | None:
    """Return a field of an error in OpenAI's form."""
    try:
        value = response.json()["error"][name]
    except (ValueError, TypeError, KeyError):
        return None
    return value if isinstance(value, str) else None
