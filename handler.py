"""Custom handler for Hugging Face Inference Endpoints.

Put this file, `requirements.txt` and the folder `hf_asr_endpoint` into a Whisper model's repository; the
endpoint then speaks the same dialect as the server. Settings come from HF_ASR_* variables.
Contract: https://huggingface.co/docs/inference-endpoints/guides/custom_handler
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hf_asr_endpoint.api.huggingface.render import render_transcription
from hf_asr_endpoint.api.huggingface.request import parse_document
from hf_asr_endpoint.audio.source import open_waveform
from hf_asr_endpoint.composition import load_transcriber, request_limits
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.transcription.transcriber import transcribe

logger = logging.getLogger(__name__)


class EndpointHandler:
    """Loads the model once and answers one request at a time, as the endpoints' toolkit calls it."""

    def __init__(self, path: str = "") -> None:
        """Load the model in the directory `path`, or the one that the settings name when it is empty."""
        settings = Settings(model=str(path)) if path else Settings()
        self._limits = request_limits(settings)
        self._threads = ThreadPoolExecutor()
        self._transcriber = load_transcriber(settings, lambda step: logger.info("waiting for %s", step))

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Transcribe `data["inputs"]`: bytes, base64, or {"array", "sampling_rate"}.

        data: may hold "parameters", as in the HTTP API. Returns {"text"} and, when asked for, "chunks".
        Raises AsrError, whose message the toolkit sends with status 400.
        """
        request = parse_document(data, max_audio_bytes=self._limits.max_audio_bytes)
        waveform = open_waveform(request.audio, max_audio_s=self._limits.max_audio_s)
        work = transcribe(self._transcriber, waveform, request.parameters.options)
        # In a thread of its own: the caller may be inside a running event loop.
        transcription = self._threads.submit(asyncio.run, work).result()
        return render_transcription(transcription, return_timestamps=request.parameters.return_timestamps)
