"""What paths are made of, and the table of all dialects' paths: routes and 404s are made from it.

It knows which path belongs to which dialect. It knows neither the dialects themselves nor error bodies.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]

_CONVERTOR = re.compile(":[a-z]+(?=})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A method and a path.

    path: in Starlette's notation; in a `Prefix`, the part behind the prefix. operation: the name under which the
    dialect has its handler.
    """

    method: str
    path: str
    operation: str
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_regex", compile_path(self.path)[0])

    @property
    def methods(self) -> tuple[str, ...]:
        return (self.method, "HEAD") if self.method == "GET" else (self.method,)

    @property
    def shown_path(self) -> str:
        """The path as people write it: `/models/{model}`."""
        return _CONVERTOR.sub("", self.path)

    def has(self, path: str) -> bool:
        """Return whether a clean path is one of this endpoint's. Takes linear time."""
        return self._regex.match(path) is not None


def get(path: str, operation: str) -> Endpoint:
    return Endpoint(method="GET", path=path, operation=operation)


def post(path: str, operation: str) -> Endpoint:
    return Endpoint(method="POST", path=path, operation=operation)


def delete(path: str, operation: str) -> Endpoint:
    return Endpoint(method="DELETE", path=path, operation=operation)


def below(path: str, parts: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Return the endpoints, each with a path in front of its own."""
    return tuple(replace(part, path=path + part.path) for part in parts)


@dataclass(frozen=True, slots=True)
class Prefix:
    """A path and a dialect's endpoints below it. All else below that path, a 404, belongs to the dialect, too."""

    path: str
    parts: tuple[Endpoint, ...]

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints, with whole paths."""
        return below(self.path, self.parts)

    @property
    def head(self) -> str:
        """The path up to its first parameter."""
        return self.path.partition("/{")[0]

    def owns(self, path: str) -> bool:
        """Return whether a clean path is this prefix or below it."""
        return path == self.head or path.startswith(f"{self.head}/")


@dataclass(frozen=True, slots=True, kw_only=True)
class DialectPaths:
    """The paths of a dialect.

    name: what messages show. main_path: such as "POST /asr", listed by a 404 if nothing tells which dialect the
    client speaks; empty: not listed. endings: by these ends, paths that nobody serves are known as this dialect's,
    under any base URL.
    """

    name: str
    main_path: str
    prefixes: tuple[Prefix, ...]
    endings: tuple[Endpoint, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints of all prefixes, with whole paths. Of two that have a path, the first one serves it."""
        return tuple(endpoint for prefix in self.prefixes for endpoint in prefix.endpoints)

    def routes(self, handlers: Mapping[str, Handler]) -> list[Route]:
        """Return the routes. handlers: by the endpoints' operations; raises KeyError if one is absent."""
        return [
            Route(endpoint.path, handlers[endpoint.operation], methods=[endpoint.method])
            for endpoint in self.endpoints
        ]

    def ends_like(self, method: str, path: str) -> bool:
        """Return whether a request that nobody serves may be this dialect's, from a wrong base URL."""
        return any(method in ending.methods and path.endswith(ending.path) for ending in self.endings)


class PathTable:
    """The paths of all dialects. One of them has the prefix "", to which all other paths belong."""

    def __init__(self, dialects: Iterable[DialectPaths]) -> None:
        """dialects: of two that serve a path with the same method, the first one does."""
        self.dialects = tuple(dialects)
        self.endpoints = tuple((endpoint, dialect) for dialect in self.dialects for endpoint in dialect.endpoints)
        owned = [(prefix, dialect) for dialect in self.dialects for prefix in dialect.prefixes]
        self._longest_first = sorted(owned, key=lambda pair: len(pair[0].head), reverse=True)

    def methods_of(self, path: str) -> tuple[str, ...]:
        """Return the methods that a clean path supports; none if it does not exist."""
        found = (method for endpoint, _ in self.endpoints if endpoint.has(path) for method in endpoint.methods)
        return tuple(dict.fromkeys(found))

    def dialect_of(self, method: str, path: str) -> DialectPaths:
        """Return the dialect that a request speaks, also one that no route serves. path: a clean path."""
        for endpoint, dialect in self.endpoints:
            if method in endpoint.methods and endpoint.has(path):
                return dialect
        prefix, owner = self._owner_of(path)
        if prefix.path:
            return owner
        return next((dialect for dialect in self.dialects if dialect.ends_like(method, path)), owner)

    def prefix_of(self, path: str) -> Prefix:
        """Return the longest prefix that a clean path is below."""
        return self._owner_of(path)[0]

    def _owner_of(self, path: str) -> tuple[Prefix, DialectPaths]:
        return next(pair for pair in self._longest_first if pair[0].owns(path))


def clean_path(path: str) -> str:
    """Return a path without doubled slashes and without a slash at its end. Takes linear time."""
    return "/" + "/".join(filter(None, path.split("/")))


class CleanPaths:
    """ASGI middleware that makes paths clean: without doubled slashes, one at the end, and `root_path`.

    A redirect would do the same for GET alone: clients repeat a POST without its body, or not at all.
    """

    def __init__(self, app: ASGIApp, *, root_path: str = "") -> None:
        """root_path: a proxy's path to this server, such as "/whisper". Some proxies remove it, others do not."""
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            # A WebSocket begins as a GET, and may be answered as one.
            scope = {"method": "GET", **scope, "path": self._below_root(clean_path(scope["path"]))}
        await self._app(scope, receive, send)

    def _below_root(self, path: str) -> str:
        is_below = path == self._root_path or path.startswith(f"{self._root_path}/")
        return path.removeprefix(self._root_path) or "/" if is_below else path
