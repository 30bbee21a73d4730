"""Lets a fixed number of requests in and refuses the rest at once, so that a queue never grows unseen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hf_asr_endpoint.errors import Overloaded

RETRY_AFTER_S = 5


class Admission:
    """Counts requests that are being received, waiting or worked on."""

    def __init__(self, max_concurrent_requests: int) -> None:
        self._limit = max_concurrent_requests
        self._n_admitted = 0

    @contextmanager
    def permit(self) -> Iterator[None]:
        """Hold one place, or raise Overloaded."""
        if self._n_admitted >= self._limit:
            raise Overloaded(
                f"{self._n_admitted} requests are under way; allowed: {self._limit} at a time; "
                f"try again in {RETRY_AFTER_S} s",
                retry_after_s=RETRY_AFTER_S,
            )
        self._n_admitted += 1
        try:
            yield
        finally:
            self._n_admitted -= 1
