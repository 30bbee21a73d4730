"""A thread for each request, and the stream in which the event loop gets what that thread makes.

What a Transcriber does with a recording is its own; how requests start, are cancelled and end is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.cancellation import SHUTTING_DOWN, CancellationToken
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.stream import TranscriptionStream
from hf_asr_endpoint.types import Caller, Progress, Segment, Transcription
from hf_asr_endpoint.whisper.threads import use_one_core

Work = Callable[[CancellationToken, Caller], Iterator[Segment | Transcription]]
"""Yields a recording's segments in order, and last its Transcription. It runs in the request's thread."""


class RequestThreads:
    """Up to `max_requests` are in flight; more wait for a thread. Used in the event loop."""

    def __init__(self, max_requests: int) -> None:
        self._is_closed = False
        self._tokens: set[CancellationToken] = set()  # of the requests in flight; used in the event loop
        self._threads = ThreadPoolExecutor(max_requests, "request", initializer=use_one_core)

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def start(self, work: Work, reader: WaveformReader, caller: Caller, *, streams: bool) -> TranscriptionStream:
        """Start a request. streams: whether segments and progress are wanted as they come.

        reader: closed here if `work` is never called; else that is left to `work`. Raises EngineUnavailable.
        """
        token = CancellationToken()
        stream = TranscriptionStream(token)
        try:
            future = self._threads.submit(_run, work, stream, token, caller, streams=streams)
        except RuntimeError as exc:  # The executor was shut down.
            reader.close()
            raise EngineUnavailable(SHUTTING_DOWN) from exc
        self._tokens.add(token)

        def forget(done: Future[None]) -> None:
            self._tokens.discard(token)
            if done.cancelled():  # The shutdown removed it from the executor's queue.
                reader.close()
                stream.finish(EngineUnavailable(SHUTTING_DOWN))

        future.add_done_callback(forget)
        if self._is_closed:
            token.cancel(SHUTTING_DOWN)
        return stream

    def cancel(self) -> None:
        """Cancel all requests, for a shutdown. Requests that start from now on are cancelled at once."""
        self._is_closed = True
        for token in tuple(self._tokens):
            token.cancel(SHUTTING_DOWN)

    def close(self) -> None:
        """Cancel all requests and wait for their threads."""
        self.cancel()
        self._threads.shutdown(cancel_futures=True)


def _run(
    work: Work, stream: TranscriptionStream, token: CancellationToken, caller: Caller, *, streams: bool
) -> None:
    """The request's thread."""

    def tell(progress: Progress) -> None:
        caller.on_progress(progress)
        if streams:
            stream.put(progress)

    try:
        for event in work(token, replace(caller, on_progress=tell)):
            if streams or isinstance(event, Transcription):
                stream.put(event)
        stream.finish()
    except BaseException as exc:  # The stream raises it.
        stream.finish(exc)
