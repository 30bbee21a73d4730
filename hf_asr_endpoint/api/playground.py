"""The page for browsers at `GET /`, and its files below `/playground`. It needs nothing from another host.

It asks the server through the paths that every client has. Its files are in `hf_asr_endpoint/playground`.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.errors import MESSAGE_FORMAT
from hf_asr_endpoint.api.operators_description import describe_playground
from hf_asr_endpoint.api.page_files import read_files, respond_with_file
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


class Playground:
    """Serves the page to requests that accept HTML; any other `GET /` is refused as without a page."""

    paths = PATHS
    error_format = MESSAGE_FORMAT

    def __init__(self, *, root_path: str = "") -> None:
        """root_path: a proxy's path to this server. Without one, the page's addresses are relative."""
        self._files = read_files(FILES.iterdir())
        if root_path:
            page = self._files[PAGE].with_addresses("playground/", f"{root_path}{PREFIX}/")
            self._files[PAGE] = page.with_addresses("docs", f"{root_path}/docs")

    def routes(self) -> list[Route]:
        return PATHS.routes({"page": self.page, "file": self.file})

    def describe(self) -> ApiDescription:
        return describe_playground(PATHS.endpoints)

    async def page(self, request: Request) -> Response:
        """Return the page. Raises MethodNotAllowed for clients that are not browsers."""
        if not asks_for_page(request.scope):
            raise refuse_method(request.method, request.url.path, allowed=("POST",))
        return respond_with_file(request, self._files[PAGE], vary="Accept")

    async def file(self, request: Request) -> Response:
        """Return one of the page's files. Raises UnknownPath."""
        name = request.path_params["file"]
        if name not in self._files or name == PAGE:
            raise UnknownPath(
                f"the path {show_value(request.url.path)} does not exist; allowed: GET / in a browser"
            )
        return respond_with_file(request, self._files[name])


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
