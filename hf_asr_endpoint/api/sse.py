"""Server-sent events that hold what they need until they have ended, however they end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus
from starlette.types import Receive, Scope, Send

# By default the library breaks streams off when a signal to stop arrives. Here they may end within the
# server's own time for that, like every other request; then uvicorn cancels them.
AppStatus.disable_automatic_graceful_drain()

PING_INTERVAL_S = 15  # a comment, so that proxies do not take a slow stream for a dead one


class EventStream(EventSourceResponse):
    """Sends JSON documents as events. Ends them, and closes `held`, also when the client leaves."""

    def __init__(self, documents: AsyncIterator[dict[str, Any]], *, held: AsyncExitStack) -> None:
        """held: what is released after the last event, in its own order; the documents' source may be in it."""
        super().__init__(_encode(documents), ping=PING_INTERVAL_S, sep="\n")
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


async def _encode(documents: AsyncIterator[dict[str, Any]]) -> AsyncIterator[ServerSentEvent]:
    async for document in documents:
        data = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        yield ServerSentEvent(data=data, sep="\n")
