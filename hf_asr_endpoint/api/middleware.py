"""What surrounds every request, whatever its dialect: its id, its log line, and the rest of its body."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

DRAIN_TIMEOUT_S = 10.0
"""How long the rest of a refused upload is read and thrown away."""

_SAFE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class RequestLogMiddleware:
    """Gives each request an id, answers it when a bug did not, and writes one line when it ends.

    The id is the caller's own if it is a plain one; it is in `scope["state"]["request_id"]`. A route may
    put `audio_s` there for the log.
    failure: what is sent when the application raises before it answers.
    """

    def __init__(self, app: ASGIApp, *, failure: ASGIApp) -> None:
        self._app = app
        self._failure = failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
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
        except Exception:
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
                scope["path"],
                status or "client-left",
                request_id,
                f"{state['audio_s']:.2f}" if "audio_s" in state else "-",
                time.perf_counter() - started,
            )


def _request_id(headers: Headers) -> str:
    """Return the caller's id, from either header that huggingface_hub sends one in, or a new one."""
    given = (headers.get(name, "") for name in ("x-request-id", "x-amzn-trace-id"))
    return next((value for value in given if _SAFE_ID.fullmatch(value)), uuid.uuid4().hex)


class DrainMiddleware:
    """Reads the rest of a body that was refused unread, so that the client gets to see the answer.

    A server that closes with data unread resets the connection, and the client that is still sending
    reports a broken pipe instead of the status. What is read is thrown away, for DRAIN_TIMEOUT_S at most.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        # A client that asked first is told no by the status itself and sends nothing.
        is_sending = has_body and headers.get("expect", "").lower() != "100-continue"
        is_received = not has_body

        async def receive_tracked() -> Message:
            nonlocal is_received, is_sending
            is_sending = True  # Asking for the body is what sends "100 Continue".
            message = await receive()
            is_received = is_received or not message.get("more_body", False)
            return message

        async def send_after_draining(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if is_last and is_sending and not is_received:
                await send({**message, "more_body": True})
                await _drain(receive)
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._app(scope, receive_tracked, send_after_draining)


async def _drain(receive: Receive) -> None:
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            while (await receive()).get("more_body", False):
                pass
    except TimeoutError:
        pass
