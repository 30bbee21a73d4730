"""OpenAI's requests: a form with one file."""

from __future__ import annotations

from hf_asr_endpoint.api.multipart import FormBody
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import MissingParameter

FILE = "file"


def check_file(form: FormBody) -> EncodedAudio:
    """Return the form's file, at its beginning. Raises MissingParameter."""
    if form.audio is None:
        raise MissingParameter(
            f"{FILE} is missing; allowed: an audio file, or in JSON input_audio with its base64", parameter=FILE
        )
    return form.audio
