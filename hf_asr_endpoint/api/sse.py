"""Server-sent events: JSON documents as they come, and what is released when they end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus
from starlette.types import Receive, Scope, Send

# By default the library ends all streams when a signal to stop arrives. Here they may end within the server's own
# time for that, like every other request; after it uvicorn cancels them.
AppStatus.disable_automatic_graceful_drain()

PING_INTERVAL_S = 15  # a comment, so that proxies do not take a slow stream for a dead one


class EventStream(EventSourceResponse):
    """Sends events, and closes `held` when the last one is sent or the client has left.

    Nothing is awaited on the way out: a client that leaves cancels the response again and again until it ends.
    """

    def __init__(self, events: AsyncIterator[ServerSentEvent], *, held: AsyncExitStack) -> None:
        super().__init__(events, ping=PING_INTERVAL_S, sep="\n")
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


def json_event(document: dict[str, Any], *, name: str | None = None) -> ServerSentEvent:
    """Return an event whose data is a JSON document. name: by default the document's `type`.

    Clients that follow the standard's names, such as Subtitle Edit, pass over events without one.
    """
    return ServerSentEvent(
        data=json.dumps(document, ensure_ascii=False, separators=(",", ":")),
        event=name or document["type"],
        sep="\n",
    )
