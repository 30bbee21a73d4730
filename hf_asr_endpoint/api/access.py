"""Who may use the server: API keys, in any of the headers in which clients send one.

Requests are compared with digests of the keys. No key reaches a log or an answer.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hf_asr_endpoint.api.errors import ErrorRenderer
from hf_asr_endpoint.errors import InvalidSettings, Unauthorized

KEY_HEADERS = ("api-key", "xi-api-key")
"""Azure's and ElevenLabs', beside `Authorization: Bearer`, which all others send."""

OPENED_TOO: Mapping[str, tuple[str, ...]] = {"/health": ("/health/ready", "/health/live")}
"""Paths that need no key either, by the open one."""

MIN_KEY_CHARACTERS, MAX_KEY_CHARACTERS = 8, 256

_LENGTH = f"{{{MIN_KEY_CHARACTERS},{MAX_KEY_CHARACTERS}}}"
_ENTRY = re.compile(
    rf"(?P<name>[\w.-]{{1,64}}):(?P<named>[!-+\--~]{_LENGTH})|(?P<key>[!-+\--9;-~]{_LENGTH})", re.ASCII
)
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)


class ApiKeys:
    """The keys that may use the server, each with a name for the log."""

    def __init__(self, read: Callable[[], Iterable[str]]) -> None:
        """read: returns the entries, see `parse_entries`; called again by `reload`. Raises InvalidSettings."""
        self._read = read
        self._lock = threading.Lock()  # Of two reloads the later one must win.
        self._names = parse_entries(read())

    def reload(self) -> int:
        """Read the keys again and return their number. Raises InvalidSettings, and then keeps those it has."""
        with self._lock:
            self._names = parse_entries(self._read())
            return len(self._names)

    def name_of(self, key: str) -> str | None:
        """Return a key's name, None for an unknown one. Its time does not depend on how much of a key is right."""
        digest, found = _digest(key), None
        for known, name in self._names.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


def parse_entries(entries: Iterable[str]) -> Mapping[bytes, str]:
    """Return names by the digests of keys. entries: `NAME:KEY` or `KEY`.

    Raises InvalidSettings if one is neither, if two are alike, or if there is none. Its message shows no key.
    """
    names: dict[bytes, str] = {}
    for number, entry in enumerate(entries, 1):
        found = _ENTRY.fullmatch(entry)
        if not found:
            raise InvalidSettings(
                f"API key {number} cannot be used; allowed: KEY or NAME:KEY, where a key is {MIN_KEY_CHARACTERS} "
                f"to {MAX_KEY_CHARACTERS} visible ASCII characters without a comma, and a name is letters, digits "
                "and . _ -; a key with a colon needs a name"
            )
        name, key = found["name"] or f"key-{number}", found["named"] or found["key"]
        if _digest(key) in names or name in names.values():
            raise InvalidSettings(f"API key {number} or its name is there twice; each needs its own")
        names[_digest(key)] = name
    if not names:
        raise InvalidSettings("there is no API key; give one, or unset HF_ASR_API_KEYS and HF_ASR_API_KEYS_FILE")
    return names


def read_entries(variable: str | None, file: Path | None) -> list[str]:
    """Return the entries of the variable, between commas, and of the file, a line each; `#` begins a comment line.

    Raises InvalidSettings for a file that cannot be read.
    """
    entries = [] if variable is None else variable.split(",")
    if file is not None:
        try:
            entries += file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise InvalidSettings(f"the file of API keys {file} cannot be read: {exc}") from exc
    stripped = (entry.strip() for entry in entries)
    return [entry for entry in stripped if entry and not entry.startswith("#")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The keys, and the paths that need none."""

    keys: ApiKeys
    open_paths: tuple[str, ...]


class AccessMiddleware:
    """Lets requests pass that have a key, or whose path needs none; responds 401 to all others.

    A key's name is in `scope["state"]["key_name"]`, for the log and for `key_name`.
    """

    def __init__(self, app: ASGIApp, *, access: Access, render_error: ErrorRenderer) -> None:
        self._app = app
        self._render_error = render_error
        self._keys = access.keys
        self._open_paths = {path for name in access.open_paths for path in (name, *OPENED_TOO.get(name, ()))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            try:
                scope.setdefault("state", {})["key_name"] = self._check(Headers(scope=scope))
            except Unauthorized as exc:
                await self._render_error(exc, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> str:
        """Return the name of the request's key. Raises Unauthorized."""
        given = _keys_in(headers)
        for key in given:
            if name := self._keys.name_of(key):
                return name
        if given:
            raise Unauthorized("the API key is not one that this server knows")
        raise Unauthorized(
            "this server needs an API key; send it as 'Authorization: Bearer KEY', or in the header "
            + " or ".join(KEY_HEADERS)
        )


def key_name(request: Request) -> str | None:
    """Return the name of the key that a request came with; None if the server has no keys."""
    name: str | None = getattr(request.state, "key_name", None)
    return name


def access_middleware(access: Access | None, render_error: ErrorRenderer) -> list[Middleware]:
    """Return the middleware that asks for keys; none if everybody may use the server."""
    return [] if access is None else [Middleware(AccessMiddleware, access=access, render_error=render_error)]


def _keys_in(headers: Headers) -> list[str]:
    """Return all keys of a request: clients may send an empty one, or another service's, beside the right one."""
    bearer = _BEARER.fullmatch(headers.get("authorization", "").strip())
    given = (bearer[1] if bearer else "", *(headers.get(name, "").strip() for name in KEY_HEADERS))
    return [key for key in given if key]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
