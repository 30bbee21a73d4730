"""A form with one file to the transcription of it: what the small dialects share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.multipart import FormBody
from hf_asr_endpoint.api.responses import TEXT, Body, render_response
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import MissingParameter
from hf_asr_endpoint.types import Transcription, TranscriptionOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedForm:
    """What a form asks for. `render` runs in a worker thread; text_type: the media type of a body that is text."""

    audio: EncodedAudio
    options: TranscriptionOptions
    render: Callable[[Transcription], Body]
    text_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


class FormTranscription:
    """Answers requests."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def respond(
        self, request: Request, *, file_field: str, parse: Callable[[FormBody], ParsedForm]
    ) -> Response:
        """Read, parse, transcribe, render. Raises AsrError."""
        async with self._admission.receive_form(request, file_field=file_field) as form:
            parsed = parse(form)
            transcription = await self._admission.transcribe(request, parsed.audio, parsed.options)
        response = await render_response(lambda: parsed.render(transcription), text_type=parsed.text_type)
        response.headers.update(parsed.headers)
        return response


def take_audio(form: FormBody, *, file_field: str) -> EncodedAudio:
    """Return the form's file, at its beginning. Raises MissingParameter."""
    if form.audio is None:
        raise MissingParameter(f"{file_field} is missing; allowed: an audio file", parameter=file_field)
    return form.audio
