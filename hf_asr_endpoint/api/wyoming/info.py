"""The answer to `describe`: the models, and the languages that they know."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint import __version__
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.transcription.transcriber import Transcriber

PROGRAM = "hf-asr-endpoint"
"""Home Assistant shows it as the name of the speech-to-text engine."""

ENGLISH_ONLY = ".en"
"""Ends the names of Whisper's English-only models: what is known of one that is not loaded."""


def describe(transcriber: Transcriber, models: ServedModels) -> dict[str, Any]:
    """Return the data of `info`."""
    program = {
        **_artifact(PROGRAM, "Whisper, and other speech recognition models", version=__version__),
        "models": [_model(transcriber, model) for model in models if _is_live(transcriber, model)],
        "supports_transcript_streaming": True,
        "requires_external_vad": True,
        "prefers_auto_gain_enabled": False,
        "prefers_noise_reduction_enabled": False,
    }
    return {"asr": [program], **{kind: [] for kind in ("tts", "handle", "intent", "wake", "mic", "snd")}}


def _is_live(transcriber: Transcriber, model: ServedModel) -> bool:
    """Return whether utterances may name a model, as far as that is known before it is loaded."""
    return not transcriber.health(model.id).no_live_sessions


def _model(transcriber: Transcriber, model: ServedModel) -> dict[str, Any]:
    health = transcriber.health(model.id)
    loaded = health.model
    is_multilingual = loaded.is_multilingual if loaded else not model.id.endswith(ENGLISH_ONLY)
    return {
        **_artifact(model.id, model.id, version=model.revision),
        "installed": health.state != "failed",
        "languages": sorted(LANGUAGE_NAMES) if is_multilingual else ["en"],
    }


def _artifact(name: str, description: str, *, version: str | None) -> dict[str, Any]:
    """Return what the protocol wants to know of a program and of a model."""
    return {
        "name": name,
        "description": description,
        "version": version,
        "installed": True,
        "attribution": {"name": name.partition("/")[0], "url": ""},
    }
