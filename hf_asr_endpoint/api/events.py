"""A transcription in flight to the events of a stream. The dialects make the documents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

from sse_starlette import ServerSentEvent
from starlette.datastructures import State

from hf_asr_endpoint.api.errors import ErrorFormat
from hf_asr_endpoint.api.sse import json_event
from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.transcription.stream import TranscriptionStream
from hf_asr_endpoint.types import Progress, Segment, Transcription

logger = logging.getLogger(__name__)


class Writer(Protocol):
    """Makes the documents of one transcription. The type of each is its event's name."""

    def segment(self, segment: Segment) -> Iterable[dict[str, Any]]: ...
    def progress(self, progress: Progress) -> Iterable[dict[str, Any]]: ...
    def done(self, transcription: Transcription) -> dict[str, Any]: ...


class Deltas:
    """Cuts a text into deltas, which are the text of the transcription when they are joined."""

    def __init__(self) -> None:
        self._has_begun = False
        self._held_back = ""  # trailing white space, which is part of the text only if more text follows

    def next(self, segment: Segment) -> str:
        """Return a segment's delta, which may be empty."""
        text = self._held_back + segment.text
        if not self._has_begun:
            text = text.lstrip()
        delta = text.rstrip()
        self._held_back = text[len(delta) :]
        self._has_begun = self._has_begun or bool(delta)
        return delta


async def write_events(
    stream: TranscriptionStream, writer: Writer, *, state: State, error_format: ErrorFormat
) -> AsyncIterator[ServerSentEvent]:
    """Yield the events of a transcription in flight. An error is the last event: a status has been sent before.

    state: of the request; gets `audio_s` for the log.
    """
    try:
        async for event in stream:
            if isinstance(event, Transcription):
                state.audio_s = event.duration_s
                # The whole text of hours of audio takes long to render.
                yield await asyncio.to_thread(_last_event, writer, event)
                return
            documents = writer.progress(event) if isinstance(event, Progress) else writer.segment(event)
            for document in documents:
                yield json_event(document)
    except Exception as exc:  # A stream that has begun can end only with an event, whatever failed.
        if not isinstance(exc, AsrError):  # A bug: its details go to the log, not to the client.
            logger.exception("a stream failed")
        yield json_event(error_format.body_of(exc), name="error")


def _last_event(writer: Writer, transcription: Transcription) -> ServerSentEvent:
    return json_event(writer.done(transcription))
