"""The composition root: turns settings into the objects that work. Nothing below it sees settings."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hf_asr_endpoint.api.body import RequestLimits
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.whisper.weights.catalogue import model_names

logger = logging.getLogger(__name__)


def served_names(settings: Settings) -> tuple[str, ...]:
    """Return all names of the served model, the one to show first. Raises ModelUnavailable."""
    return tuple(dict.fromkeys((*model_names(settings.model), *settings.served_model_names)))


def request_limits(settings: Settings) -> RequestLimits:
    """Return what a request may ask of the server."""
    return RequestLimits(
        max_audio_bytes=int(settings.max_audio_bytes),
        max_audio_s=settings.max_audio_s,
        max_concurrent_requests=settings.max_concurrent_requests,
        upload_idle_timeout_s=settings.upload_idle_timeout_s,
    )


def load_transcriber(settings: Settings, report: Callable[[str], None]) -> Transcriber:
    """Get the model, load it and return the engine over it; takes seconds to minutes.

    report: told before each slow step what is being waited for. Raises ModelUnavailable.
    """
    report("torch and transformers to be imported")
    # Imported here, because it takes seconds in which the server should already answer GET /health.
    from hf_asr_endpoint.transcription.lean_whisper import LeanWhisper
    from hf_asr_endpoint.transcription.reference import ReferenceTranscriber
    from hf_asr_endpoint.whisper.checkpoint import load_checkpoint
    from hf_asr_endpoint.whisper.weights.resolve import resolve_model

    directory = resolve_model(
        settings.model, revision=settings.revision, cache_dir=settings.cache_dir, report=report
    )
    report(f"the weights in {directory} to be loaded")
    checkpoint = load_checkpoint(directory, device=settings.device, dtype=settings.dtype, model_class=LeanWhisper)
    info = checkpoint.info
    logger.info("ready: %s on %s in %s", settings.model, info.device, info.dtype)
    return ReferenceTranscriber(checkpoint)
