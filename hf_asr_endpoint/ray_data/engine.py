"""An engine of the pool: all recordings of a batch share its slots, as a server's requests do."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from hf_asr_endpoint.audio.source import EncodedAudio, open_waveform
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import AsrError, EngineUnavailable
from hf_asr_endpoint.loading import load_transcriber
from hf_asr_endpoint.logs import configure_logging
from hf_asr_endpoint.messages import hide_secrets
from hf_asr_endpoint.model_choice import ModelChoice
from hf_asr_endpoint.ray_data.locations import open_location
from hf_asr_endpoint.types import Caller, Transcription, TranscriptionOptions

logger = logging.getLogger(__name__)

TRANSCRIPTION = TypeAdapter(Transcription)
"""To JSON and back: a dataset's columns hold texts."""


class Engine:
    """What Ray Data calls, in an actor of its own, with one batch after another."""

    def __init__(self, choice: ModelChoice, settings: Settings, options: TranscriptionOptions) -> None:
        """Load the model. Raises ModelUnavailable."""
        configure_logging(settings.log_level, settings.log_format)
        self._options = options
        self._transcriber = load_transcriber(choice, settings, lambda step: logger.info("waiting for %s", step))
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="loop", daemon=True).start()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the columns of `dataset.Row` for a batch with the column `location`.

        Raises EngineUnavailable: then no recording of this engine can be transcribed.
        """
        locations = [str(location) for location in batch["location"]]
        working = asyncio.run_coroutine_threadsafe(self._transcribe_all(locations), self._loop)
        outcomes = working.result()
        return {
            "location": locations,
            "transcription": [transcription for transcription, _ in outcomes],
            "error": [error for _, error in outcomes],
        }

    async def _transcribe_all(self, locations: Sequence[str]) -> list[tuple[str, str]]:
        return list(await asyncio.gather(*map(self._transcribe, locations)))

    async def _transcribe(self, location: str) -> tuple[str, str]:
        """Return a recording's transcription as JSON and "", or "" and what is wrong."""
        try:
            file = await asyncio.to_thread(open_location, location)
            # An archive's recordings have no limit.
            reader = open_waveform(
                EncodedAudio(file=file), max_audio_s=math.inf, audio_track=self._options.audio_track
            )
            transcription = await self._transcriber.transcribe(reader, self._options, Caller(is_patient=True))
        except EngineUnavailable:
            raise
        except (AsrError, OSError) as exc:
            return "", str(exc) or type(exc).__name__
        except Exception as exc:  # A bug that one recording meets must not stop the others.
            logger.exception("%s", hide_secrets(location))
            return "", f"a bug, whose traceback is in the log of the engine: {type(exc).__name__}: {exc}"
        return TRANSCRIPTION.dump_json(transcription).decode(), ""
