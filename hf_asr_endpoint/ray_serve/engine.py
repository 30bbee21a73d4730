"""An engine replica: one model, loaded as a single server loads it, for the HTTP replicas' recordings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any

from ray import serve

from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import AsrError, EngineUnavailable, InternalError
from hf_asr_endpoint.loading import load_transcriber
from hf_asr_endpoint.logs import configure_logging
from hf_asr_endpoint.model_choice import ModelChoice
from hf_asr_endpoint.ray_serve.audio import ReceivedAudio, SentAudio
from hf_asr_endpoint.ray_serve.board import Report, report_forever
from hf_asr_endpoint.transcription.stream import Event, TranscriptionStream
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Activity, Caller, Health, Progress, TranscriptionOptions, ignore_progress

logger = logging.getLogger(__name__)

BUG = "the engine failed; its log has the details"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a transcription is wanted. streams: segments as they come. tells_progress: also where none are."""

    streams: bool
    tells_progress: bool
    owner: str | None
    is_patient: bool


class Engine:
    """A deployment. Serve sends a replica nothing before it is made, and makes another when it fails."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it.
        self, model: str, choice: ModelChoice, settings: Settings, board: Any
    ) -> None:
        """Load the model. model: its id. board: the Board's handle. Raises ModelUnavailable."""
        configure_logging(settings.log_level, settings.log_format)
        self._model = model
        self._replica = serve.get_replica_context().replica_id.unique_id
        self._step = "loading to start"
        self._transcriber: Transcriber | None = None
        self._reporting = asyncio.ensure_future(report_forever(board, self._report))
        self._transcriber = await asyncio.to_thread(load_transcriber, choice, settings, self._wait)

    async def work(
        self, sent: SentAudio, options: TranscriptionOptions, order: Order
    ) -> AsyncIterator[Event | AsrError]:
        """Yield what a TranscriptionStream yields, or last the error that it raises: Ray would wrap it."""
        try:
            audio = await asyncio.to_thread(ReceivedAudio, sent)
            async with aclosing(whole(audio, self._begin(audio, options, order))) as events:
                async for event in events:
                    yield event
        except AsrError as exc:
            yield exc
        except Exception:  # A bug: its details are for the log, not for the client.
            logger.exception("a bug")
            yield InternalError(BUG)

    async def check_health(self) -> None:
        """Raise when only a new process can help. Serve calls this, and starts another replica then."""
        assert self._transcriber is not None
        health = self._transcriber.health()
        if health.state == "failed":
            raise EngineUnavailable(health.detail)

    async def _begin(
        self, audio: ReceivedAudio, options: TranscriptionOptions, order: Order
    ) -> TranscriptionStream:
        assert self._transcriber is not None
        caller = Caller(owner=order.owner, is_patient=order.is_patient)
        if order.streams:
            return await self._transcriber.stream(audio.reader, options, caller)
        return _stream_whole(self._transcriber, audio, options, caller, tells_progress=order.tells_progress)

    def _wait(self, step: str) -> None:
        logger.info("waiting for %s", step)
        self._step = step

    def _report(self) -> Report:
        transcriber = self._transcriber
        return Report(
            replica=self._replica,
            model=self._model,
            health=transcriber.health() if transcriber else Health(state="loading", detail=self._step),
            activity=transcriber.activity() if transcriber else Activity(),
        )


async def whole(audio: ReceivedAudio, beginning: Awaitable[TranscriptionStream]) -> AsyncGenerator[Event]:
    """Yield what a stream of the audio yields, and raise what it raises; EngineLost as soon as audio was lost."""
    try:
        with closing(await beginning) as stream:
            async for event in stream:
                audio.check()
                yield event
    except Exception:  # A decoder may fail in any way where bytes are lost, and the loss is the reason.
        audio.check()
        raise


def _stream_whole(
    transcriber: Transcriber,
    audio: ReceivedAudio,
    options: TranscriptionOptions,
    caller: Caller,
    *,
    tells_progress: bool,
) -> TranscriptionStream:
    """Return a stream of the progress and the transcription of a recording whose segments nobody waits for."""
    token = CancellationToken()
    stream = TranscriptionStream(token)

    def tell(progress: Progress) -> None:
        stream.put(progress)

    telling = Caller(
        owner=caller.owner,
        is_patient=caller.is_patient,
        on_progress=tell if tells_progress else ignore_progress,
    )

    async def work() -> None:
        try:
            stream.put(await transcriber.transcribe(audio.reader, options, telling))
            stream.finish()
        except BaseException as exc:
            stream.finish(exc)

    working = asyncio.ensure_future(work())

    def stop() -> None:
        working.cancel()

    token.add_callback(stop)
    return stream
