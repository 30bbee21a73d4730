"""Endpoints as routes call them: whatever they raise of ours becomes an answer in their dialect's form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from hf_asr_endpoint.errors import AsrError

Endpoint = Callable[[Request], Awaitable[Response]]


def answering_errors(endpoint: Endpoint, render: Callable[[AsrError], Response]) -> Endpoint:
    """Return the endpoint with its errors rendered."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except AsrError as exc:
            return render(exc)

    return answer
