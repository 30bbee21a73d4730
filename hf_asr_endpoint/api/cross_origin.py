"""Pages of other sites: which may use the server from a browser (CORS, https://fetch.spec.whatwg.org)."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

METHODS = ("GET", "HEAD", "POST", "DELETE")
"""All that any path has. A method that a path lacks is refused by the path, in its dialect."""

EXPOSED_HEADERS = (
    *("x-request-id", "location", "content-disposition"),
    *("retry-after", "ratelimit", "x-should-retry", "x-error-message"),
)
"""Of responses, for pages to read in addition to those that browsers always let them read."""


def cross_origin_middleware(origins: Sequence[str]) -> list[Middleware]:
    """Return the outermost middleware, so that errors have its headers too; none without origins.

    A preflight may name any header: clients send many of their own.
    """
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=("*",),
            expose_headers=EXPOSED_HEADERS,
        )
    ]
