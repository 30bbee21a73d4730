"""Who may use the server: a request needs a key, in any of the headers in which clients send one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from hf_asr_endpoint.api.api_keys import ApiKey, ApiKeys
from hf_asr_endpoint.api.errors import ErrorRenderer
from hf_asr_endpoint.api.key_use import KeyUse
from hf_asr_endpoint.errors import Overloaded, Unauthorized

KEY_HEADERS = ("api-key", "xi-api-key")
"""Azure's and ElevenLabs', beside `Authorization: Bearer`, which all others send."""

OPENED_TOO: Mapping[str, tuple[str, ...]] = {
    "/health": ("/health/ready", "/health/live"),
    "/docs": ("/openapi.json",),
}
"""Paths that need no key either, by the open one."""

OPENED_BELOW = ("/docs",)
"""Open paths below which all others, a page's files, need no key either."""

KEY_SUBPROTOCOL = "openai-insecure-api-key."
"""Browsers cannot send headers with a WebSocket: OpenAI's clients put the key behind this, among subprotocols."""

IsOpen = Callable[[Scope], bool]

FindKey = Callable[[str], ApiKey | None]
"""Returns the key on whose account a secret is."""

_BEARER = re.compile(r"(?:bearer|token) +(\S+)", re.IGNORECASE)
"""OpenAI's and most others' word, or Deepgram's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The keys, what they have taken, and the paths that need none."""

    keys: ApiKeys
    open_paths: tuple[str, ...]
    use: KeyUse = field(default_factory=KeyUse)

    def is_open(self, path: str) -> bool:
        """Return whether a clean path needs no key."""
        return any(
            path == name
            or path in OPENED_TOO.get(name, ())
            or (name in OPENED_BELOW and path.startswith(f"{name}/"))
            for name in self.open_paths
        )


class AccessMiddleware:
    """Lets requests pass that have a key, or whose path needs none; responds 401 to all others.

    A POST, or a WebSocket as long as it is open, counts against the key's limits, and is 429 beyond them; so does
    its audio, `scope["state"]["audio_s"]`.
    A key's name is in `scope["state"]["key_name"]`, for the log, and its owner in `scope["state"]["key_owner"]`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        render_error: ErrorRenderer,
        is_open: IsOpen | None = None,
        find_key: FindKey = lambda secret: None,
    ) -> None:
        """is_open: tells of more requests whether they need no key. find_key: knows more secrets."""
        self._find_key = find_key
        self._app = app
        self._is_open = is_open or (lambda _: False)
        self._render_error = render_error
        self._access = access
        self._keys, self._use = access.keys, access.use

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._access.is_open(scope["path"]) or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        with ExitStack() as held:
            try:
                key = self._check(Headers(scope=scope))
                state["key"], state["key_name"], state["key_owner"] = key, key.name, key.owner
                if scope["method"] == "POST" or scope["type"] == "websocket":
                    held.enter_context(self._use.permit(key))
            except (Unauthorized, Overloaded) as exc:
                await self._render_error(exc, scope)(scope, receive, send)
                return
            try:
                await self._app(scope, receive, send)
            finally:
                self._use.charge(key.owner, state.get("audio_s", 0.0))

    def _check(self, headers: Headers) -> ApiKey:
        """Return the request's key. Raises Unauthorized."""
        given = secrets_in(headers)
        for secret in given:
            if key := self._keys.find(secret) or self._find_key(secret):
                return key
        if given:
            raise Unauthorized("the API key is not one that this server knows")
        raise Unauthorized(
            "this server needs an API key; send it as 'Authorization: Bearer KEY', or in the header "
            + " or ".join(KEY_HEADERS)
        )


def key_owner(request: HTTPConnection) -> str | None:
    """Return the owner of the key that a request came with; None if the server has no keys."""
    owner: str | None = getattr(request.state, "key_owner", None)
    return owner


def access_middleware(
    access: Access | None,
    render_error: ErrorRenderer,
    *,
    is_open: IsOpen | None = None,
    find_key: FindKey = lambda secret: None,
) -> list[Middleware]:
    """Return the middleware that asks for keys; none if everybody may use the server."""
    if access is None:
        return []
    return [
        Middleware(AccessMiddleware, access=access, render_error=render_error, is_open=is_open, find_key=find_key)
    ]


def secrets_in(headers: Headers) -> list[str]:
    """Return all keys of a request: clients may send an empty one, or another service's, beside the right one."""
    bearer = _BEARER.fullmatch(headers.get("authorization", "").strip())
    offered = [name.strip() for value in headers.getlist("sec-websocket-protocol") for name in value.split(",")]
    given = (
        bearer[1] if bearer else "",
        *(headers.get(name, "").strip() for name in KEY_HEADERS),
        *(name.removeprefix(KEY_SUBPROTOCOL) for name in offered if name.startswith(KEY_SUBPROTOCOL)),
        *(offered[1:2] if offered[:1] == ["token"] else ()),  # Deepgram's browsers: "token, KEY".
    )
    return [secret for secret in given if secret]
