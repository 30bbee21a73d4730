"""The Transcriber over a model of transformers: a thread for each request, one worker for the model."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager

import numpy as np

from hf_asr_endpoint.audio.chunking import Chunk, ChunkingOptions, split_chunks
from hf_asr_endpoint.audio.levelling import LevelledDetector
from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.audio.vad import VoiceActivityDetector
from hf_asr_endpoint.cancellation import SHUTTING_DOWN, CancellationToken
from hf_asr_endpoint.errors import UnsupportedParameter
from hf_asr_endpoint.transcription.backlog import Backlog, Place
from hf_asr_endpoint.transcription.fallback import compression_ratio
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.stream import LiveStream
from hf_asr_endpoint.transcription.model_languages import no_live_sessions
from hf_asr_endpoint.transcription.model_limits import check_width
from hf_asr_endpoint.transcription.request_threads import RequestThreads
from hf_asr_endpoint.transcription.segments import SegmentBuilder, TimedTokens
from hf_asr_endpoint.transcription.stream import TranscriptionStream, last_of
from hf_asr_endpoint.transformers_models.family import ChunkInContext, ChunkText, Family, for_the_model
from hf_asr_endpoint.transformers_models.worker import ModelWorker
from hf_asr_endpoint.types import (
    ANYBODY,
    Activity,
    Caller,
    DecodedWindow,
    Health,
    ModelInfo,
    Progress,
    Segment,
    Transcription,
    TranscriptionOptions,
    Waveform,
)
from hf_asr_endpoint.units import SAMPLE_RATE

SAME_TIME_S = 0.5 / SAMPLE_RATE

_NOTHING = np.zeros(0, np.float32)


class TransformersTranscriber:
    """Owns the worker and all threads. Up to `max_requests` are in flight; more wait for a thread."""

    def __init__(
        self,
        family: Family,
        info: ModelInfo,
        *,
        max_requests: int,
        max_batch: int,
        max_ahead: int,
        max_beams: int,
        max_waiting_audio_s: float = math.inf,
        max_wait_s: float = math.inf,
        turns: AbstractContextManager[None] | None = None,
    ) -> None:
        """max_batch: chunks that are computed together. max_ahead: chunks of a request in memory.

        max_beams: in a request, at most. max_waiting_audio_s: of all requests. max_wait_s: that a request may have
        to wait for its turn. turns: of all models that compute on the same cores.
        """
        self._family = family
        self._info = info
        self._max_batch = max_batch
        self._max_ahead = max_ahead
        self._max_beams = max_beams
        self._detector = LevelledDetector(VoiceActivityDetector())
        self._backlog = Backlog(max_s=max_waiting_audio_s, max_wait_s=max_wait_s)
        self._requests = RequestThreads(max_requests)
        self._worker = ModelWorker(family, max_batch=max_batch, turns=turns)

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        return await last_of(self._start(reader, options, caller, streams=False))

    async def stream(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> TranscriptionStream:
        return self._start(reader, options, caller, streams=True)

    async def live(self, options: LiveOptions, caller: Caller = ANYBODY) -> LiveStream:
        raise UnsupportedParameter(no_live_sessions(self._info), parameter="model")

    def health(self, model: str | None = None) -> Health:
        if self._requests.is_closed:
            return Health(state="failed", detail=SHUTTING_DOWN)
        if (failure := self._worker.failure) is not None:
            return Health(state="failed", detail=f"{type(failure).__name__}: {failure}")
        return Health(state="ready", model=self._info, no_live_sessions=no_live_sessions(self._info))

    def activity(self, model: str | None = None) -> Activity:
        worker = self._worker
        return Activity(
            slots=self._max_batch,
            slots_in_use=worker.n_running,
            windows_waiting=worker.n_waiting,
            waiting_audio_s=self._backlog.waiting_s,
            wait_s=self._backlog.wait_s,
            turn_wait_s=self._backlog.turn_wait_s,
            speed=self._backlog.speed,
            engine_s={"decode": worker.seconds},
            windows=dict(worker.ended),
        )

    def close(self) -> None:
        self._requests.cancel()
        self._worker.close()
        self._requests.close()

    def _start(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller, *, streams: bool
    ) -> TranscriptionStream:
        try:
            self._family.check(options)
            check_width(options.decoding, max_beams=self._max_beams, slots=self._max_batch)
            place = self._backlog.open_place(is_patient=caller.is_patient)
        except BaseException:
            reader.close()
            raise

        def work(token: CancellationToken, telling: Caller) -> Iterator[Segment | Transcription]:
            return self._transcribe(reader, options, token, telling, place)

        return self._requests.start(work, reader, caller, streams=streams)

    def _transcribe(
        self,
        reader: WaveformReader,
        options: TranscriptionOptions,
        token: CancellationToken,
        caller: Caller,
        place: Place,
    ) -> Iterator[Segment | Transcription]:
        counter = _Counter(reader, place)
        segments = []
        try:
            chunks = split_chunks(
                counter.blocks(),
                self._detector,
                options=ChunkingOptions(
                    voice_activity=options.voice_activity, chunk_length_s=options.chunk_length_s
                ),
            )
            for chunk, text in self._decoded(in_context(chunks, self._family.context_s), options, token):
                segment = _segment(chunk, text, options)
                if segment is not None:
                    segments.append(segment)
                    yield segment
                place.advance(chunk.offset_s + len(chunk.waveform) / SAMPLE_RATE)
                caller.on_progress(Progress(done_s=place.done_s, length_s=place.length_s))
        finally:
            place.leave()
            reader.close()
        yield Transcription(
            task=options.task, language=options.language, duration_s=counter.duration_s, segments=tuple(segments)
        )

    def _decoded(
        self, chunks: Iterator[ChunkInContext | None], options: TranscriptionOptions, token: CancellationToken
    ) -> Iterator[tuple[Chunk, ChunkText]]:
        """Yield chunks in order, each with its text, and read no further than `max_ahead` of them."""
        running: deque[tuple[Chunk, Future[ChunkText]]] = deque()
        asked = for_the_model(options)
        for each in chunks:
            token.raise_if_cancelled()
            if each is not None:
                running.append((each.chunk, self._worker.submit(each, asked, token)))
            while running and (running[0][1].done() or len(running) >= self._max_ahead):
                chunk, text = running.popleft()
                yield chunk, text.result()
        for chunk, text in running:
            yield chunk, text.result()


class _Counter:
    """Counts what is read of a recording, and tells its place the length that its file declares."""

    def __init__(self, reader: WaveformReader, place: Place) -> None:
        self._reader = reader
        self._place = place
        self._n_samples = 0

    @property
    def duration_s(self) -> float:
        return self._n_samples / SAMPLE_RATE

    def blocks(self) -> Iterator[Waveform]:
        for block in self._reader:
            if self._n_samples == 0 and self._reader.declared_s is not None:
                self._place.declare(self._reader.declared_s)
            self._n_samples += len(block)
            yield block


def in_context(chunks: Iterator[Chunk | None], context_s: float) -> Iterator[ChunkInContext | None]:
    """Yield each chunk with up to `context_s` of audio around it, on the sides where it was cut inside speech.

    There the next chunk begins where it ends. Without a context no chunk waits for the next one.
    """
    n_context = round(context_s * SAMPLE_RATE)
    waiting: Chunk | None = None
    before = _NOTHING
    for chunk in chunks:
        if chunk is None or n_context == 0:
            yield None if chunk is None else ChunkInContext(chunk=chunk, before=_NOTHING, after=_NOTHING)
            continue
        follows = _NOTHING
        if waiting is not None:
            touches = abs(_end_s(waiting) - chunk.offset_s) < SAME_TIME_S
            after = chunk.waveform[:n_context] if touches else _NOTHING
            follows = waiting.waveform[-n_context:] if touches else _NOTHING
            yield ChunkInContext(chunk=waiting, before=before, after=after)
        waiting, before = chunk, follows
    if waiting is not None:
        yield ChunkInContext(chunk=waiting, before=before, after=_NOTHING)


def _end_s(chunk: Chunk) -> float:
    return chunk.offset_s + len(chunk.waveform) / SAMPLE_RATE


def _segment(chunk: Chunk, text: ChunkText, options: TranscriptionOptions) -> Segment | None:
    """Return a chunk's segment, with times from the beginning of the file, from its first speech to its last."""
    temperatures = options.decoding.temperatures
    window = DecodedWindow(
        start=chunk.offset_s,
        compression_ratio=compression_ratio(text.text),
        temperature=temperatures[0] if len(temperatures) == 1 else None,
    )
    builder = SegmentBuilder(begin_s=chunk.offset_s, end_s=_end_s(chunk), decode=lambda tokens: text.text)
    timed = TimedTokens(start=chunk.speech[0].start_s, end=chunk.speech[-1].end_s, tokens=text.tokens)
    words = [word.shifted(chunk.offset_s) for word in text.words] if options.wants_words else []
    return builder.build(timed.shifted(chunk.offset_s), window, words=words)
