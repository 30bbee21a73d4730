"""Successful responses, rendered and encoded in a worker thread.

The body of a long transcription takes up to a second to make, in which the event loop must serve other requests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

Body = dict[str, Any] | str
"""A JSON object, or text."""

TEXT = "text/plain; charset=utf-8"

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


async def render_response(render: Callable[[], Body], *, text_type: str = TEXT) -> Response:
    """Return a response with the body that `render` returns. `render` runs in a worker thread.

    text_type: the media type of a body that is text.
    """

    def build() -> Response:
        body = render()
        if isinstance(body, str):
            return Response(body.encode(), media_type=text_type)
        return Response(encode_json(body), media_type="application/json")

    return await asyncio.to_thread(build)


def encode_json(document: dict[str, Any]) -> bytes:
    """Return a JSON object in UTF-8.

    The items of its lists are encoded one by one: json's C encoder keeps Python's lock until it returns, and
    during all the words of a six-hour recording that would stop the event loop, too.
    """
    return "".join(_pieces(document)).encode()


def _pieces(document: dict[str, Any]) -> list[str]:
    pieces = ["{"]
    for name, value in document.items():
        pieces += [_encoder.encode(name), ":"]
        if isinstance(value, list):
            items = ",".join([_encoder.encode(item) for item in value])
            pieces += ["[", items, "]"]
        else:
            pieces.append(_encoder.encode(value))
        pieces.append(",")
    return [*pieces[:-1], "}"] if document else ["{}"]
