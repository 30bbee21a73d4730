"""Requests and reports that Ray cancels itself, without Ray's processes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from hf_asr_endpoint.audio.source import EncodedAudio, WaveformReader, open_waveform
from hf_asr_endpoint.errors import EngineLost, EngineUnavailable
from hf_asr_endpoint.types import TranscriptionOptions

pytest.importorskip("ray", reason="Ray is not installed; `make test-ray` has it")

import ray

from hf_asr_endpoint.ray_serve import board
from hf_asr_endpoint.ray_serve.transcriber import RayTranscriber

TIMEOUT_S = 10.0


class CancellingHandle:
    """The handle of engines, and a response of theirs, which Ray cancels at once."""

    n_begun = 0
    given: Mapping[str, Any] = MappingProxyType({})

    def options(self, **given: Any) -> CancellingHandle:
        self.given = given
        return self

    def remote(self, *_: Any) -> CancellingHandle:
        self.n_begun += 1
        return self

    async def __aiter__(self) -> AsyncIterator[Any]:
        raise asyncio.CancelledError
        yield

    def cancel(self) -> None: ...


def reader() -> WaveformReader:
    return open_waveform(EncodedAudio(file=io.BytesIO(b"audio")), max_audio_s=1.0)


def test_references_to_blocks_go_where_ray_counts_them() -> None:
    """It cannot count those in a message of gRPC, and its object store would never free the audio."""
    engines = CancellingHandle()
    RayTranscriber({"base": engines}, None, replica="http")
    assert engines.given["_by_reference"] is True


def test_a_request_that_ray_cancels_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "put", lambda block: block)

    async def request() -> None:
        transcriber = RayTranscriber({"base": CancellingHandle()}, None, replica="http")
        await asyncio.wait_for(transcriber.transcribe(reader(), TranscriptionOptions()), TIMEOUT_S)

    with pytest.raises(EngineLost, match="Ray has cancelled"):
        asyncio.run(request())


def test_a_request_that_is_sent_while_its_replica_ends_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = CancellingHandle()
    transcriber = RayTranscriber({"base": engines}, None, replica="http")
    monkeypatch.setattr(ray, "put", lambda block: transcriber.close())

    async def request() -> None:
        await asyncio.wait_for(transcriber.transcribe(reader(), TranscriptionOptions()), TIMEOUT_S)

    with pytest.raises(EngineUnavailable, match="shutting down"):
        asyncio.run(request())
    assert engines.n_begun == 0


def test_reports_go_on_until_their_task_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "REPORT_INTERVAL_S", 0.0)

    async def report() -> None:
        failures: list[BaseException] = [asyncio.CancelledError(), ValueError("a bug")]
        succeeded = asyncio.Event()

        async def call() -> None:
            if failures:
                raise failures.pop()
            succeeded.set()
            await asyncio.Event().wait()

        reporting = asyncio.ensure_future(board.repeat(call))
        await asyncio.wait_for(succeeded.wait(), TIMEOUT_S)
        reporting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(reporting, TIMEOUT_S)

    asyncio.run(report())
