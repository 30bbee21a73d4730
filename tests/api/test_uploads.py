from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from hf_asr_endpoint.api.uploads import MIN_AGE_S, Uploads, UploadTimes
from hf_asr_endpoint.errors import Overloaded, UploadTimeout


def make_uploads(max_uploads: int, **times: float) -> Uploads:
    return Uploads(
        max_uploads,
        UploadTimes(**{"max_pause_s": 60.0, "max_s": 600.0, **times}),
        overloaded=lambda what: Overloaded(what, retry_after_s=1),
    )


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


async def never() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def part() -> dict[str, Any]:
    return {"type": "http.request", "body": b"12345678", "more_body": True}


def test_one_too_many_is_refused_while_all_are_young() -> None:
    uploads = make_uploads(2)
    with (
        uploads.open(),
        uploads.open(),
        pytest.raises(Overloaded, match="2 uploads are in progress; allowed: 2 at a time"),
    ):
        uploads.open().__enter__()
    with uploads.open(), uploads.open():
        pass


def test_the_slowest_makes_way_for_one_more(now: list[float]) -> None:
    async def run() -> None:
        uploads = make_uploads(2)
        with ExitStack() as held:
            fast, slow = held.enter_context(uploads.open()), held.enter_context(uploads.open())
            await fast.next(part)
            await fast.next(part)
            await slow.next(part)
            waiting = asyncio.ensure_future(slow.next(never))
            await asyncio.sleep(0)
            now[0] = MIN_AGE_S
            newest = held.enter_context(uploads.open())
            with pytest.raises(Overloaded, match="2 at a time; this one, at 2 bytes/s, was the slowest"):
                await waiting
            with pytest.raises(Overloaded):
                await slow.next(part)
            for upload in (fast, newest):
                assert await upload.next(part) == (b"12345678", False)

    asyncio.run(run())


def test_a_part_that_does_not_come_is_a_timeout() -> None:
    async def run() -> None:
        with make_uploads(1, max_pause_s=0.01).open() as upload:
            await upload.next(part)
            with pytest.raises(UploadTimeout, match=r"stopped after 8 bytes; allowed: pauses of 0\.01 s"):
                await upload.next(never)

    asyncio.run(run())
