"""What the application asks of a dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.routing import BaseRoute

from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.errors import ErrorFormat
from hf_asr_endpoint.api.paths import DialectPaths


class Dialect(Protocol):
    """An API: its paths, how it shows errors, its routes, which serve these paths, and what it says of them."""

    paths: DialectPaths
    error_format: ErrorFormat

    def routes(self) -> Sequence[BaseRoute]: ...
    def describe(self) -> ApiDescription: ...
