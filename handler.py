"""Custom handler for Hugging Face Inference Endpoints.

Put this file, `requirements.txt` and the folder `hf_asr_endpoint` into a speech recognition model's repository;
the endpoint then has the same API as the server. Settings come from HF_ASR_* variables.
Contract: https://huggingface.co/docs/inference-endpoints/guides/custom_handler
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hf_asr_endpoint.api.huggingface.render import render_transcription
from hf_asr_endpoint.api.huggingface.request import parse_document
from hf_asr_endpoint.audio.source import open_waveform
from hf_asr_endpoint.composition import load_services
from hf_asr_endpoint.read_settings import read_settings


class EndpointHandler:
    """Loads the model once and handles one request at a time, as the endpoints' toolkit calls it."""

    def __init__(self, path: str = "") -> None:
        """Load the model in the directory `path`, or without one the model that the settings name.

        Raises InvalidSettings and ModelUnavailable.
        """
        self._services = load_services(read_settings({"model": (str(path),)} if path else {}))
        self._threads = ThreadPoolExecutor()

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Transcribe `data["inputs"]`: bytes, base64, or {"array", "sampling_rate"}.

        data: may hold "parameters", as in the HTTP API. Returns {"text"} and, on request, "chunks".
        Raises AsrError, whose message the toolkit sends with status 400.
        """
        limits = self._services.limits
        request = parse_document(data, max_audio_bytes=limits.max_audio_bytes)
        reader = open_waveform(
            request.audio, max_audio_s=limits.max_audio_s, audio_track=request.parameters.options.audio_track
        )
        work = self._services.transcriber.transcribe(reader, request.parameters.options)
        # In a thread of its own, because the caller may be inside a running event loop.
        transcription = self._threads.submit(asyncio.run, work).result()
        return render_transcription(transcription, return_timestamps=request.parameters.return_timestamps)
