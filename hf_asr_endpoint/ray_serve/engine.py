"""An engine replica: one model, loaded as a single server loads it, for the HTTP replicas' recordings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

from ray import serve

from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import AsrError, EngineUnavailable
from hf_asr_endpoint.loading import load_transcriber
from hf_asr_endpoint.logs import configure_logging
from hf_asr_endpoint.model_choice import ModelChoice
from hf_asr_endpoint.ray_serve.audio import SentAudio, receive_audio
from hf_asr_endpoint.ray_serve.board import Report, report_forever
from hf_asr_endpoint.transcription.orders import Order, follow
from hf_asr_endpoint.transcription.stream import Event
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Activity, Health, TranscriptionOptions

logger = logging.getLogger(__name__)


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
        assert self._transcriber is not None
        async with aclosing(follow(self._transcriber, partial(receive_audio, sent), options, order)) as events:
            async for event in events:
                yield event

    async def check_health(self) -> None:
        """Raise when only a new process can help. Serve calls this, and starts another replica then."""
        assert self._transcriber is not None
        health = self._transcriber.health()
        if health.state == "failed":
            raise EngineUnavailable(health.detail)

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
