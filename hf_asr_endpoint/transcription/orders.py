"""A transcription that is wanted by another process: how, and all that comes of it as one stream of values.

How the values travel is their carrier's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, closing
from dataclasses import dataclass

from hf_asr_endpoint.audio.blocks import ReceivedAudio
from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.errors import AsrError, InternalError
from hf_asr_endpoint.transcription.stream import Event, TranscriptionStream
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Caller, Progress, TranscriptionOptions, ignore_progress

logger = logging.getLogger(__name__)

BUG = "the engine failed; its log has the details"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a transcription is wanted. streams: segments as they come. tells_progress: also where none are."""

    streams: bool
    tells_progress: bool
    owner: str | None
    is_patient: bool

    @classmethod
    def of(cls, caller: Caller, *, streams: bool) -> Order:
        """Return the order of a caller, who is told of progress by whoever takes the events."""
        return cls(
            streams=streams,
            tells_progress=caller.on_progress is not ignore_progress,
            owner=caller.owner,
            is_patient=caller.is_patient,
        )


async def follow(
    transcriber: Transcriber,
    receive: Callable[[], ReceivedAudio],
    options: TranscriptionOptions,
    order: Order,
) -> AsyncGenerator[Event | AsrError]:
    """Yield what a TranscriptionStream yields, or last the error that it raises: a carrier would wrap it.

    receive: returns the audio; it may block.
    """
    try:
        audio = await asyncio.to_thread(receive)
        async with aclosing(whole(audio, _begin(transcriber, audio.reader, options, order))) as events:
            async for event in events:
                yield event
    except AsrError as exc:
        yield exc
    except Exception:  # A bug: its details are for the log, not for the client.
        logger.exception("a bug")
        yield InternalError(BUG)


async def whole(audio: ReceivedAudio, beginning: Awaitable[TranscriptionStream]) -> AsyncGenerator[Event]:
    """Yield what a stream of the audio yields, and raise what it raises; EngineLost as soon as audio was lost."""
    try:
        with closing(await beginning) as stream:
            async for event in stream:
                audio.check()
                yield event
    except Exception:  # A decoder may fail in any way where bytes are lost, and the loss is the reason.
        audio.check()
        raise


async def _begin(
    transcriber: Transcriber, reader: WaveformReader, options: TranscriptionOptions, order: Order
) -> TranscriptionStream:
    caller = Caller(owner=order.owner, is_patient=order.is_patient)
    if order.streams:
        return await transcriber.stream(reader, options, caller)
    return _stream_whole(transcriber, reader, options, caller, tells_progress=order.tells_progress)


def _stream_whole(
    transcriber: Transcriber,
    reader: WaveformReader,
    options: TranscriptionOptions,
    caller: Caller,
    *,
    tells_progress: bool,
) -> TranscriptionStream:
    """Return a stream of the progress and the transcription of a recording whose segments nobody waits for."""
    token = CancellationToken()
    stream = TranscriptionStream(token)

    def tell(progress: Progress) -> None:
        stream.put(progress)

    telling = Caller(
        owner=caller.owner,
        is_patient=caller.is_patient,
        on_progress=tell if tells_progress else ignore_progress,
    )

    async def work() -> None:
        try:
            stream.put(await transcriber.transcribe(reader, options, telling))
            stream.finish()
        except BaseException as exc:
            stream.finish(exc)

    working = asyncio.ensure_future(work())

    def stop() -> None:
        working.cancel()

    token.add_callback(stop)
    return stream
