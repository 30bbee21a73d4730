"""The files of a page: HTML, CSS and ES modules from the package. They need nothing from another host."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """A file as it is sent."""

    content: bytes
    media_type: str

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'

    def with_addresses(self, prefix: str, new_prefix: str) -> PageFile:
        """Return a page whose addresses begin otherwise."""
        return replace(self, content=self.content.replace(f'="{prefix}'.encode(), f'="{new_prefix}'.encode()))


def read_files(paths: Iterable[Path]) -> dict[str, PageFile]:
    """Return the files of known types by their names."""
    return {
        path.name: PageFile(content=path.read_bytes(), media_type=MEDIA_TYPES[path.suffix])
        for path in paths
        if path.suffix in MEDIA_TYPES
    }


def respond_with_file(request: Request, file: PageFile, *, vary: str = "") -> Response:
    """Return the response, or 304 if the client has the file. vary: the headers that the choice depends on."""
    headers = {**HEADERS, "ETag": file.etag, **({"Vary": vary} if vary else {})}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers={**headers, "Content-Type": file.media_type})
