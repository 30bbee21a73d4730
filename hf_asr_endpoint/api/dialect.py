"""What the application asks of a dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.routing import BaseRoute

from hf_asr_endpoint.api.errors import ErrorFormat
from hf_asr_endpoint.api.paths import DialectPaths


class Dialect(Protocol):
    """An API: its paths, how it shows errors, and its routes, which serve these paths."""

    paths: DialectPaths
    error_format: ErrorFormat

    def routes(self) -> Sequence[BaseRoute]: ...
