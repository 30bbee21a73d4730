"""The page for browsers at `GET /`, and its files below `/playground`. It needs nothing from another host.

It asks the server through the paths that every client has. Its files are in `hf_asr_endpoint/playground`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from hf_asr_endpoint.api.errors import MESSAGE_FORMAT
from hf_asr_endpoint.api.paths import DialectPaths, Prefix, get
from hf_asr_endpoint.api.unroutable import refuse_method
from hf_asr_endpoint.errors import UnknownPath
from hf_asr_endpoint.messages import show_value

FILES = Path(__file__).parents[1] / "playground"
PAGE = "index.html"
PREFIX = "/playground"

PATHS = DialectPaths(
    name="playground",
    main_path="",
    prefixes=(Prefix(PREFIX, (get("/{file}", "file"),)), Prefix("", (get("/", "page"),))),
)

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # An upgraded server has other files under the same names: browsers ask each time, and the ETag answers.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str


class Playground:
    """Serves the page to requests that accept HTML; any other `GET /` is refused as without a page."""

    paths = PATHS
    error_format = MESSAGE_FORMAT

    def __init__(self, *, root_path: str = "") -> None:
        """root_path: a proxy's path to this server. Without one, the page's addresses are relative."""
        self._files = {path.name: _read(path, root_path) for path in FILES.iterdir() if path.suffix in MEDIA_TYPES}

    def routes(self) -> list[Route]:
        return PATHS.routes({"page": self.page, "file": self.file})

    async def page(self, request: Request) -> Response:
        """Return the page. Raises MethodNotAllowed for clients that are not browsers."""
        if not asks_for_page(request.scope):
            raise refuse_method(request.method, request.url.path, allowed=("POST",))
        return self._respond(request, PAGE)

    async def file(self, request: Request) -> Response:
        """Return one of the page's files. Raises UnknownPath."""
        name = request.path_params["file"]
        if name not in self._files or name == PAGE:
            raise UnknownPath(
                f"the path {show_value(request.url.path)} does not exist; allowed: GET / in a browser"
            )
        return self._respond(request, name)

    def _respond(self, request: Request, name: str) -> Response:
        file = self._files[name]
        headers = {**HEADERS, "ETag": file.etag, **({"Vary": "Accept"} if name == PAGE else {})}
        if file.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers={**headers, "Content-Type": file.media_type})


def asks_for_page(scope: Scope) -> bool:
    """Return whether a request is a browser's for the page or one of its files. Takes linear time."""
    if scope["method"] not in ("GET", "HEAD"):
        return False
    path: str = scope["path"]
    return path.startswith(f"{PREFIX}/") or (path == "/" and _accepts_html(scope))


def _accepts_html(scope: Scope) -> bool:
    """Return whether `text/html` is named: other clients send `*/*`, or nothing."""
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return any(part.partition(b";")[0].strip().lower() == b"text/html" for part in accepted.split(b","))


def _read(path: Path, root_path: str) -> _File:
    content = path.read_bytes()
    if path.name == PAGE and root_path:
        content = content.replace(b'="playground/', f'="{root_path}{PREFIX}/'.encode())
    return _File(content, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')
