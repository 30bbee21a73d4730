"""A request's way to its transcription, the same for every dialect: received, admitted, worked on, within limits.

A body is received before its request is admitted, so that a slow upload takes no place from a fast one. Where no
place is free, or the wait for any model is too long, a request is refused before its body is read, and again after
it if that is so by then. Knows no dialect's parameters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import Request

from hf_asr_endpoint.api.access import key_owner
from hf_asr_endpoint.api.body import RequestLimits, receive_body
from hf_asr_endpoint.api.body_parser import AcceptedBodies, Body, BodyLimits
from hf_asr_endpoint.api.disconnect import cancel_on_disconnect
from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.multipart import FormBody
from hf_asr_endpoint.api.uploads import Uploads, UploadTimes
from hf_asr_endpoint.audio.source import AudioSource, WaveformReader, open_waveform
from hf_asr_endpoint.errors import BodyTooLarge, WorkTimeout
from hf_asr_endpoint.tracing import trace_part
from hf_asr_endpoint.transcription.backlog import check_wait
from hf_asr_endpoint.transcription.stream import TranscriptionStream
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Caller, Health, Transcription, TranscriptionOptions

MIN_UPLOADS, UPLOADS_PER_PERMIT = 256, 4
"""Bodies that are received at a time, at most. Slow ones hold no permit, so there are more of them."""

T = TypeVar("T")


class Admission:
    """Receives bodies and has their audio transcribed by one Transcriber."""

    def __init__(
        self,
        transcriber: Transcriber,
        models: Sequence[str],
        *,
        limits: RequestLimits,
        in_flight: InFlightRequests,
    ) -> None:
        """models: the ids of all that are served."""
        self._transcriber = transcriber
        self._models = models
        self._limits = limits
        self._in_flight = in_flight
        self._uploads = Uploads(
            max(MIN_UPLOADS, UPLOADS_PER_PERMIT * limits.max_concurrent_requests),
            UploadTimes(max_pause_s=limits.upload_idle_timeout_s, max_s=limits.upload_timeout_s),
            overloaded=in_flight.overloaded,
        )

    @property
    def limits(self) -> RequestLimits:
        return self._limits

    def health(self, model: str) -> Health:
        """Return a model's health."""
        return self._transcriber.health(model)

    @asynccontextmanager
    async def receive(
        self,
        request: Request,
        accepted: AcceptedBodies,
        *,
        max_audio_bytes: int | None = None,
        is_job: bool = False,
    ) -> AsyncIterator[Body]:
        """Receive and parse the body. Its files are open until the context ends.

        max_audio_bytes: None for the server's own limit. is_job: it is not worked on now. Where only the body says
        so, see `leave_to_job`. Raises Overloaded, before the body and behind it, and what `receive_body` raises.
        """
        limits = BodyLimits(max_audio_bytes=max_audio_bytes or self._limits.max_audio_bytes)
        owner = key_owner(request)
        async with AsyncExitStack() as held:

            def promise_permit() -> None:
                if not is_job:
                    self._check_room(owner)
                    held.enter_context(self._in_flight.promise(request, owner))

            if not is_job:
                self._check_room(owner)
            with self._uploads.open() as upload, trace_part("receive"):
                receiving = receive_body(request, upload, limits, accepted, on_received=promise_permit)
                body = await held.enter_async_context(receiving)
            yield body

    def leave_to_job(self, request: Request) -> None:
        """Take back the place of a request whose body says that it is not worked on now."""
        self._in_flight.withdraw(request)

    @asynccontextmanager
    async def receive_form(
        self, request: Request, *, file_field: str, max_audio_bytes: int | None = None, is_job: bool = False
    ) -> AsyncIterator[FormBody]:
        """Receive a form, as `receive` does, where nothing else is accepted."""
        accepted = AcceptedBodies(audio_field=file_field, form=True)
        async with self.receive(request, accepted, max_audio_bytes=max_audio_bytes, is_job=is_job) as body:
            assert isinstance(body, FormBody)
            yield body

    async def receive_small(self, request: Request, *, max_bytes: int) -> bytes:
        """Return a body without audio. Raises BodyTooLarge, Overloaded and what `Upload.next` raises."""
        body = bytearray()
        is_last = False
        with self._uploads.open() as upload:
            while not is_last:
                data, is_last = await upload.next(request.receive)
                body += data
                if len(body) > max_bytes:
                    raise BodyTooLarge(f"the body is too large; allowed: {max_bytes} bytes", n_bytes=len(body))
        return bytes(body)

    async def transcribe(
        self, request: Request, audio: AudioSource, options: TranscriptionOptions
    ) -> Transcription:
        """Return the transcription. The request's state gets its `audio_s`.

        Raises Overloaded, WorkTimeout, ClientDisconnect once the client has gone, and what the Transcriber raises.
        """
        caller = Caller(owner=key_owner(request))
        permit = self._in_flight.permit(request, caller.owner)
        with permit, trace_part("transcribe", model=options.model) as part:
            reader = self._open(audio, options)
            transcription = await self._within_limits(
                request, self._transcriber.transcribe(reader, options, caller)
            )
            part.tell(audio_s=transcription.duration_s)
        request.state.audio_s = transcription.duration_s
        return transcription

    async def stream(
        self, request: Request, audio: AudioSource, options: TranscriptionOptions, *, held: AsyncExitStack
    ) -> TranscriptionStream:
        """Return a stream once its first event is there, so that an error before it has its own status.

        held: closed by the caller at the stream's end; it ends the work. Raises what `transcribe` raises; so does
        the stream, for what comes later.
        """
        caller = Caller(owner=key_owner(request))
        held.enter_context(self._in_flight.permit(request, caller.owner))
        held.enter_context(trace_part("transcribe", model=options.model))
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + self._limits.request_timeout_s

        async def open_stream() -> TranscriptionStream:
            stream = await self._transcriber.stream(self._open(audio, options), options, caller)
            held.callback(stream.close)
            held.callback(loop.call_at(ends_at_s, lambda: stream.close(self._timeout())).cancel)
            await stream.wait_for_event()
            return stream

        return await self._within_limits(request, open_stream())

    async def _within_limits(self, request: Request, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns. It ends when the client has gone, and when it takes too long."""
        try:
            async with asyncio.timeout(self._limits.request_timeout_s) as limit:
                return await cancel_on_disconnect(request.receive, work)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise self._timeout() from exc

    def _check_room(self, owner: str | None) -> None:
        """Raise Overloaded where a request that arrives now would be refused, whichever model it is for."""
        self._in_flight.check(owner)
        activities = [self._transcriber.activity(model) for model in self._models]
        n_promised = self._in_flight.n_promised  # They come first, and nobody else knows of them yet.
        wait_s = min(one.wait_s + n_promised * one.turn_wait_s for one in activities)
        check_wait(wait_s, self._limits.max_wait_s)

    def _open(self, audio: AudioSource, options: TranscriptionOptions) -> WaveformReader:
        return open_waveform(audio, max_audio_s=self._limits.max_audio_s, audio_track=options.audio_track)

    def _timeout(self) -> WorkTimeout:
        limit_s = self._limits.request_timeout_s
        return WorkTimeout(
            f"the transcription took longer than {limit_s:g} s; allowed: {limit_s:g} s from the audio's arrival; "
            "send shorter pieces, or submit a job, which has no such limit"
        )
