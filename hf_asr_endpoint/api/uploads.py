"""Bodies on their way: how long one may take, and how many there are. Of too many, the slowest makes way.

So clients that send a byte from time to time, however many they are, cannot keep out those that send at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from hf_asr_endpoint.errors import Overloaded, UploadTimeout

MIN_AGE_S = 5.0
"""Of an upload that makes way: a younger one has not had the time to show how fast it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTimes:
    """max_pause_s: between two parts. max_s: of a whole upload."""

    max_pause_s: float
    max_s: float


class Upload:
    """One body. Read by one task."""

    def __init__(self, times: UploadTimes) -> None:
        self._times = times
        self._n_bytes = 0
        self._began_s = time.monotonic()
        self._made_way: Overloaded | None = None
        self._limit: asyncio.Timeout | None = None  # while a part is awaited

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._began_s

    @property
    def rate(self) -> float:
        """Bytes per second, since the beginning."""
        return self._n_bytes / max(self.age_s, 1e-3)

    async def next(self, receive: Receive) -> tuple[bytes, bool]:
        """Return what arrives next, and whether it is the last.

        Raises UploadTimeout, ClientDisconnect, and Overloaded when the upload has made way for another.
        """
        self._check_place()
        remaining_s = self._times.max_s - self.age_s
        is_pause = self._times.max_pause_s < remaining_s
        try:
            async with asyncio.timeout(min(self._times.max_pause_s, remaining_s)) as self._limit:
                message = await receive()
        except TimeoutError as exc:
            self._check_place()
            raise UploadTimeout(self._explain(is_pause=is_pause)) from exc
        finally:
            self._limit = None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect()
        data: bytes = message.get("body", b"")
        self._n_bytes += len(data)
        return data, not message.get("more_body", False)

    def make_way(self, reason: Overloaded) -> None:
        """End the upload at its next part, or now if it is awaited."""
        self._made_way = reason
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    def _check_place(self) -> None:
        if self._made_way is not None:
            raise self._made_way

    def _explain(self, *, is_pause: bool) -> str:
        """is_pause: which limit it was. The clock does not say: a timer may be early by a millisecond."""
        if is_pause:
            return (
                f"the body stopped after {self._n_bytes} bytes; "
                f"allowed: pauses of {self._times.max_pause_s:g} s at most"
            )
        return (
            f"the body was not complete at {self._n_bytes} bytes; "
            f"allowed: {self._times.max_s:g} s for the whole upload"
        )


class Uploads:
    """The bodies that are received at a time: each may be a file on the disk. Used in one event loop."""

    def __init__(self, max_uploads: int, times: UploadTimes, *, overloaded: Callable[[str], Overloaded]) -> None:
        """overloaded: makes the error, from a sentence that says what there is too much of."""
        self._max_uploads = max_uploads
        self._times = times
        self._overloaded = overloaded
        self._running: set[Upload] = set()

    @contextmanager
    def open(self) -> Iterator[Upload]:
        """Receive a body. Raises Overloaded if too many are being received and none is slow enough to make way."""
        if len(self._running) >= self._max_uploads:
            self._make_room()
        upload = Upload(self._times)
        self._running.add(upload)
        try:
            yield upload
        finally:
            self._running.discard(upload)

    def _make_room(self) -> None:
        counted = f"{len(self._running)} uploads are in progress; allowed: {self._max_uploads} at a time"
        slowest = min(
            (upload for upload in self._running if upload.age_s >= MIN_AGE_S),
            key=lambda upload: upload.rate,
            default=None,
        )
        if slowest is None:
            raise self._overloaded(counted)
        slowest.make_way(self._overloaded(f"{counted}; this one, at {slowest.rate:.0f} bytes/s, was the slowest"))
        self._running.discard(slowest)
