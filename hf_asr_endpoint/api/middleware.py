"""What surrounds every request in every dialect: its id, its log line, its metrics, its failures."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hf_asr_endpoint.api.errors import ErrorRenderer
from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.metrics import Metrics
from hf_asr_endpoint.api.paths import PathTable
from hf_asr_endpoint.logs import FIELDS
from hf_asr_endpoint.messages import shorten
from hf_asr_endpoint.tracing import Part, trace_request

logger = logging.getLogger(__name__)

MAX_LOGGED_PATH_CHARACTERS = 200

LOGGED = ("status", "id", "key", "audio_s", "total_s")
"""What a line of text says of a request behind its method and path. JSON has its API and its trace, too."""

POLLED_PATHS = ("/health", "/health/ready", "/health/live", "/metrics")
"""Asked every few seconds: at INFO their lines would bury the others."""

RESPONSE_STARTS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
SWITCHED = 101
"""The status of a WebSocket that has been accepted; its line is logged when it ends."""

_SAFE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class RequestMiddleware:
    """Gives each request an id, counts and traces it, responds to unhandled exceptions, logs one line at its end.

    The id is in `scope["state"]["request_id"]` and in the response's x-request-id. It is the caller's own if that
    consists of plain characters. A route may set `audio_s` in the state for the log.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        paths: PathTable,
        in_flight: InFlightRequests,
        metrics: Metrics,
        render_error: ErrorRenderer,
    ) -> None:
        self._app = app
        self._paths = paths
        self._in_flight = in_flight
        self._metrics = metrics
        self._render_error = render_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        with self._in_flight.count():
            await self._trace(scope, receive, send)

    async def _trace(self, scope: Scope, receive: Receive, send: Send) -> None:
        dialect = self._paths.dialect_of(scope["method"], scope["path"])
        with trace_request(scope["method"], scope["path"], api=dialect.name, headers=Headers(scope=scope)) as span:
            await self._respond(scope, receive, send, api=dialect.name, span=span)

    async def _respond(self, scope: Scope, receive: Receive, send: Send, *, api: str, span: Part) -> None:
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _request_id(Headers(scope=scope))
        status = 0
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] in RESPONSE_STARTS:
                status = message.get("status", SWITCHED)
                message.setdefault("headers", [])
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            pass  # Nobody can receive a response.
        except asyncio.CancelledError as exc:
            if status:
                raise  # The response has begun: all that is left is to break it off.
            await self._render_error(exc, scope)(scope, receive, send_with_id)
        except Exception as exc:  # A bug: its details go to the log, not to the client.
            logger.exception("request %s failed", request_id)
            if status:
                raise
            await self._render_error(exc, scope)(scope, receive, send_with_id)
        finally:
            total_s = time.perf_counter() - started
            self._record(scope, status=str(status or "client-left"), total_s=total_s, api=api, span=span)

    def _record(self, scope: Scope, *, status: str, total_s: float, api: str, span: Part) -> None:
        """Count a request that has ended, and log it."""
        state, path = scope["state"], scope["path"]
        self._metrics.count(api=api, status=status, total_s=total_s, audio_s=state.get("audio_s"))
        span.respond(status)
        span.tell(request_id=state["request_id"], key=state.get("key_name"), audio_s=state.get("audio_s"))
        fields = {
            "method": scope["method"],
            "path": shorten(quote(path, errors="replace"), max_characters=MAX_LOGGED_PATH_CHARACTERS),
            "api": api,
            "status": status,
            "id": state["request_id"],
            "key": state.get("key_name"),
            "audio_s": round(state["audio_s"], 2) if "audio_s" in state else None,
            "total_s": round(total_s, 3),
            "trace_id": span.trace_id,
        }
        log_request(fields, level=logging.DEBUG if path in POLLED_PATHS else logging.INFO)


def log_request(fields: Mapping[str, Any], *, level: int) -> None:
    """Log a request that has ended. fields: its method, its path, LOGGED, and more for JSON."""
    logger.log(
        level,
        "%s %s %s",
        fields["method"],
        fields["path"],
        " ".join(f"{name}={'-' if fields[name] is None else fields[name]}" for name in LOGGED),
        extra={FIELDS: fields},
    )


def _request_id(headers: Headers) -> str:
    """Return the caller's id, from either header in which huggingface_hub sends one, or a new one."""
    given = (headers.get(name, "") for name in ("x-request-id", "x-amzn-trace-id"))
    return next((value for value in given if _SAFE_ID.fullmatch(value)), uuid.uuid4().hex)
