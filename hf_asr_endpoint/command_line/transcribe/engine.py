"""The engine in this process: all recordings share its batch."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable

from hf_asr_endpoint.audio.source import EncodedAudio, open_waveform
from hf_asr_endpoint.command_line.transcribe.backend import BackendFailed, Report
from hf_asr_endpoint.command_line.transcribe.inputs import Recording
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.engine_processes.start import load_on_devices
from hf_asr_endpoint.errors import EngineUnavailable, InvalidAudio, InvalidParameter
from hf_asr_endpoint.model_choice import ModelChoice
from hf_asr_endpoint.transcription.deferred import DeferredTranscriber
from hf_asr_endpoint.types import Caller, Progress, Transcription, TranscriptionOptions

RECORDINGS_AHEAD = 8
"""Recordings that are prepared while every slot is taken."""


class EngineBackend:
    """Loads a model and transcribes with it."""

    def __init__(self, choice: ModelChoice, settings: Settings, options: TranscriptionOptions) -> None:
        self._choice = choice
        self._settings = settings
        self._options = options
        self.max_in_flight = RECORDINGS_AHEAD
        self._transcriber: DeferredTranscriber | None = None

    async def start(self, report: Report) -> None:
        loop = asyncio.get_running_loop()
        loaded: asyncio.Future[None] = loop.create_future()
        self._transcriber = DeferredTranscriber(
            lambda _: load_on_devices(self._choice, self._settings, report), on_failure=lambda _: None
        )

        def settle(error: Exception | None) -> None:
            with contextlib.suppress(RuntimeError):  # The loop has been closed.
                loop.call_soon_threadsafe(_settle, loaded, error)

        self._transcriber.add_load_callback(settle)
        self._transcriber.start()
        await loaded
        self.max_in_flight = self._transcriber.activity().slots + RECORDINGS_AHEAD

    async def transcribe(self, recording: Recording, on_progress: Callable[[Progress], None]) -> Transcription:
        assert self._transcriber is not None
        reader = open_waveform(
            EncodedAudio(file=recording.open()),
            max_audio_s=math.inf,  # A user's own files have no limit.
            audio_track=self._options.audio_track,
        )
        caller = Caller(is_patient=True, on_progress=on_progress)
        try:
            return await self._transcriber.transcribe(reader, self._options, caller)
        except EngineUnavailable as exc:
            raise BackendFailed(str(exc)) from exc
        except InvalidParameter as exc:
            if exc.parameter != "audio_track":
                raise
            raise InvalidAudio(str(exc)) from exc  # Other files may have the track.

    async def close(self) -> None:
        if self._transcriber is not None:
            await asyncio.to_thread(self._transcriber.close)


def _settle(loaded: asyncio.Future[None], error: Exception | None) -> None:
    if loaded.done():  # Cancelled.
        return
    if error is None:
        loaded.set_result(None)
    else:
        loaded.set_exception(error)
