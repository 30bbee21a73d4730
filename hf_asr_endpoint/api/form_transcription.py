"""A form with one file to the transcription of it: what the small dialects share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from hf_asr_endpoint.api.body import RequestLimits, receive_form
from hf_asr_endpoint.api.body_parser import BodyLimits
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.multipart import FormBody
from hf_asr_endpoint.api.responses import TEXT, Body, render_response
from hf_asr_endpoint.audio.source import EncodedAudio, open_waveform
from hf_asr_endpoint.errors import MissingParameter
from hf_asr_endpoint.transcription.transcriber import Transcriber
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
    """Answers requests with one Transcriber."""

    def __init__(self, transcriber: Transcriber, *, limits: RequestLimits, in_flight: InFlightRequests) -> None:
        self._transcriber = transcriber
        self._max_audio_s = limits.max_audio_s
        self._body_limits = BodyLimits(
            max_audio_bytes=limits.max_audio_bytes, upload_idle_timeout_s=limits.upload_idle_timeout_s
        )
        self._in_flight = in_flight

    async def respond(
        self, request: Request, *, file_field: str, parse: Callable[[FormBody], ParsedForm]
    ) -> Response:
        """Read, parse, transcribe, render. Raises AsrError."""
        async with AsyncExitStack() as held:
            held.enter_context(self._in_flight.permit())
            form = await held.enter_async_context(receive_form(request, self._body_limits, file_field=file_field))
            parsed = parse(form)
            reader = open_waveform(parsed.audio, max_audio_s=self._max_audio_s)
            transcription = await cancel_on_disconnect(
                request.receive, self._transcriber.transcribe(reader, parsed.options)
            )
        request.state.audio_s = transcription.duration_s
        response = await render_response(lambda: parsed.render(transcription), text_type=parsed.text_type)
        response.headers.update(parsed.headers)
        return response


def take_audio(form: FormBody, *, file_field: str) -> EncodedAudio:
    """Return the form's file, at its beginning. Raises MissingParameter."""
    if form.audio is None:
        raise MissingParameter(f"{file_field} is missing; allowed: an audio file", parameter=file_field)
    return form.audio
