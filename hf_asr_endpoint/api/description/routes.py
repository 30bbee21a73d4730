"""`GET /openapi.json`, and `GET /docs`, the page that shows it. Its files are in `hf_asr_endpoint/reference`.

The page has the style of the playground, and shares files with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hf_asr_endpoint.api.described import ADDRESS, JSON, ApiDescription, Content, Operation
from hf_asr_endpoint.api.errors import MESSAGE_FORMAT
from hf_asr_endpoint.api.page_files import PageFile, read_files, respond_with_file
from hf_asr_endpoint.api.paths import DialectPaths, Prefix, get
from hf_asr_endpoint.api.responses import encode_json
from hf_asr_endpoint.errors import UnknownPath
from hf_asr_endpoint.messages import show_value

PACKAGE = Path(__file__).parents[2]
FILES = PACKAGE / "reference"
SHARED_FILES = tuple(
    PACKAGE / "playground" / name
    for name in ("base.css", "chevron.svg", "dom.js", "icon.svg", "layout.css", "parts.css", "theme.js")
)
PAGE = "index.html"
PREFIX = "/docs"

PATHS = DialectPaths(
    name="description",
    main_path="",
    prefixes=(
        Prefix("/openapi.json", (get("", "document"),)),
        Prefix(PREFIX, (get("", "page"), get("/{file}", "file"))),
    ),
)


class Description:
    """Serves the document and the page."""

    paths = PATHS
    error_format = MESSAGE_FORMAT

    def __init__(self, write: Callable[[], dict[str, Any]], *, root_path: str = "") -> None:
        """write: makes the document, once, in a worker thread. root_path: a proxy's path to this server."""
        self._write = write
        self._writing = asyncio.Lock()
        self._document: PageFile | None = None
        self._files = read_files((*FILES.iterdir(), *SHARED_FILES))
        self._root_path = root_path

    def routes(self) -> list[Route]:
        return PATHS.routes({"document": self.document, "page": self.page, "file": self.file})

    def describe(self) -> ApiDescription:
        return _describe()

    async def document(self, request: Request) -> Response:
        """Return the document."""
        async with self._writing:
            if self._document is None:
                content = await asyncio.to_thread(lambda: encode_json(self._write()))
                self._document = PageFile(content=content, media_type=JSON)
        return respond_with_file(request, self._document)

    async def page(self, request: Request) -> Response:
        """Return the page. Its addresses are relative, unless a proxy's path is known."""
        page = self._files[PAGE]
        if self._root_path:
            page = page.with_addresses("docs/", f"{self._root_path}{PREFIX}/")
        elif request.scope.get("raw_path", b"").endswith(b"/"):
            page = page.with_addresses("docs/", "")
        return respond_with_file(request, page)

    async def file(self, request: Request) -> Response:
        """Return one of the page's files. Raises UnknownPath."""
        name = request.path_params["file"]
        if name not in self._files or name == PAGE:
            raise UnknownPath(f"the path {show_value(request.url.path)} does not exist; allowed: GET {PREFIX}")
        return respond_with_file(request, self._files[name])


def _describe() -> ApiDescription:
    return ApiDescription(
        title="Description",
        about="This description.",
        endpoints=PATHS.endpoints,
        operations={
            "document": Operation(
                summary="This document",
                about="OpenAPI 3.1. It changes only with the server's version and settings, as its ETag tells.",
                answers={JSON: Content(schema={"type": "object"})},
                curl=f"curl {ADDRESS}/openapi.json",
            ),
            "page": Operation(
                summary="The page that shows it",
                answers={"text/html": Content(schema={"type": "string"})},
                curl=f"curl {ADDRESS}/docs",
            ),
            "file": None,
        },
    )
