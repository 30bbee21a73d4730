"""What surrounds every request, whatever its dialect: its id, its log line, and an answer when a bug has none."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hf_asr_endpoint.api.under_way import UnderWay

logger = logging.getLogger(__name__)

_SAFE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class RequestLogMiddleware:
    """Gives each request an id, answers it when a bug did not, and writes one line when it ends.

    The id is the caller's own if it is a plain one; it is in `scope["state"]["request_id"]`. A route may
    put `audio_s` there for the log.
    failure: what is sent when the application raises before it answers.
    interruption: what is sent when the server gives up on a request because it must stop.
    under_way: told of every request.
    """

    def __init__(self, app: ASGIApp, *, failure: ASGIApp, interruption: ASGIApp, under_way: UnderWay) -> None:
        self._app = app
        self._failure = failure
        self._interruption = interruption
        self._under_way = under_way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._under_way.request():
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _request_id(Headers(scope=scope))
        status = 0
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            pass  # There is nobody left to answer.
        except asyncio.CancelledError:
            if status:
                raise
            await self._interruption(scope, receive, send_with_id)
        except Exception:  # A bug: logged whole here, and the client is told without its details.
            logger.exception("request %s failed", request_id)
            if status:
                raise  # The answer has begun: all that is left is to break it off.
            await self._failure(scope, receive, send_with_id)
        finally:
            # Platforms ask for the health every second: a line for each would bury the others.
            level = logging.DEBUG if scope["path"] == "/health" else logging.INFO
            logger.log(
                level,
                "%s %s status=%s id=%s audio_s=%s total_s=%.3f",
                scope["method"],
                quote(scope["path"]),  # A path can hold line breaks.
                status or "client-left",
                request_id,
                f"{state['audio_s']:.2f}" if "audio_s" in state else "-",
                time.perf_counter() - started,
            )


def _request_id(headers: Headers) -> str:
    """Return the caller's id, from either header that huggingface_hub sends one in, or a new one."""
    given = (headers.get(name, "") for name in ("x-request-id", "x-amzn-trace-id"))
    return next((value for value in given if _SAFE_ID.fullmatch(value)), uuid.uuid4().hex)
