"""OpenAI's requests: a form with one file, and no query string."""

from __future__ import annotations

from starlette.requests import Request

from hf_asr_endpoint.api.multipart import FormBody
from hf_asr_endpoint.api.query import read_query
from hf_asr_endpoint.api.texts import MAX_NAME_CHARACTERS
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import MissingParameter, UnknownParameter
from hf_asr_endpoint.messages import quote

FILE = "file"


def check_no_query(request: Request) -> None:
    """Raise UnknownParameter for a query string, which no client of this API sends."""
    if query := read_query(request):
        name = query[0][0]
        raise UnknownParameter(
            f"the query string has {quote(name)}; allowed: parameters in the form only",
            parameter=name[:MAX_NAME_CHARACTERS],
        )


def check_file(form: FormBody) -> EncodedAudio:
    """Return the form's file, at its beginning. Raises MissingParameter."""
    if form.audio is None:
        raise MissingParameter(
            f"{FILE} is missing; allowed: an audio file, or in JSON input_audio with its base64", parameter=FILE
        )
    return form.audio
