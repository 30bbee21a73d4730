"""The Transcriber over a model of transformers: a thread for each request, one worker for the model."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from hf_asr_endpoint.audio.chunking import Chunk, ChunkingOptions, split_chunks
from hf_asr_endpoint.audio.levelling import LevelledDetector
from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.audio.vad import VoiceActivityDetector
from hf_asr_endpoint.cancellation import SHUTTING_DOWN, CancellationToken
from hf_asr_endpoint.transcription.backlog import Backlog, Place
from hf_asr_endpoint.transcription.fallback import compression_ratio
from hf_asr_endpoint.transcription.model_limits import check_width
from hf_asr_endpoint.transcription.request_threads import RequestThreads, last_of
from hf_asr_endpoint.transcription.segments import SegmentBuilder, TimedTokens
from hf_asr_endpoint.transcription.stream import TranscriptionStream
from hf_asr_endpoint.transformers_models.family import ChunkText, Family
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


@dataclass(slots=True)
class _Recording:
    """What is known of a recording so far."""

    n_samples: int = 0
    language: str | None = None
    language_probability: float | None = None

    @property
    def duration_s(self) -> float:
        return self.n_samples / SAMPLE_RATE


class TransformersTranscriber:
    """Owns the worker and all threads. A recording's first chunk decides its language, where nobody gives it."""

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
        turns: AbstractContextManager[None] | None = None,
    ) -> None:
        """max_batch: chunks that are computed together. max_ahead: chunks of a request in memory.

        max_beams: in a request, at most. max_waiting_audio_s: of all requests. turns: of all models that compute
        on the same cores.
        """
        self._family = family
        self._info = info
        self._max_batch = max_batch
        self._max_ahead = max_ahead
        self._max_beams = max_beams
        self._detector = LevelledDetector(VoiceActivityDetector())
        self._backlog = Backlog(max_s=max_waiting_audio_s)
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

    def health(self, model: str | None = None) -> Health:
        if self._requests.is_closed:
            return Health(state="failed", detail=SHUTTING_DOWN)
        if (failure := self._worker.failure) is not None:
            return Health(state="failed", detail=f"{type(failure).__name__}: {failure}")
        return Health(state="ready", model=self._info)

    def activity(self, model: str | None = None) -> Activity:
        worker = self._worker
        return Activity(
            slots=self._max_batch,
            slots_in_use=worker.n_running,
            windows_waiting=worker.n_waiting,
            waiting_audio_s=self._backlog.waiting_s,
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
        except BaseException:
            reader.close()
            raise

        def work(token: CancellationToken, telling: Caller) -> Iterator[Segment | Transcription]:
            return self._transcribe(reader, options, token, telling)

        return self._requests.start(work, reader, caller, streams=streams)

    def _transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, token: CancellationToken, caller: Caller
    ) -> Iterator[Segment | Transcription]:
        place = self._backlog.open_place(is_patient=caller.is_patient)
        recording = _Recording(language=options.language)
        segments = []
        try:
            chunks = split_chunks(
                _counted(reader, recording, place),
                self._detector,
                options=ChunkingOptions(
                    voice_activity=options.voice_activity, chunk_length_s=options.chunk_length_s
                ),
            )
            for chunk, text in self._decoded(chunks, options, token, recording):
                for segment in _segments(chunk, text, options):
                    segments.append(segment)
                    yield segment
                place.advance(chunk.offset_s + len(chunk.waveform) / SAMPLE_RATE)
                caller.on_progress(Progress(done_s=place.done_s, length_s=place.length_s))
        finally:
            place.leave()
            reader.close()
        yield Transcription(
            task=options.task,
            language=recording.language,
            language_probability=recording.language_probability,
            duration_s=recording.duration_s,
            segments=tuple(segments),
        )

    def _decoded(
        self,
        chunks: Iterator[Chunk | None],
        options: TranscriptionOptions,
        token: CancellationToken,
        recording: _Recording,
    ) -> Iterator[tuple[Chunk, ChunkText]]:
        """Yield chunks in order, each with its text, and read no further than `max_ahead` of them."""
        running: deque[tuple[Chunk, Future[ChunkText]]] = deque()
        is_first = True
        for chunk in chunks:
            token.raise_if_cancelled()
            if chunk is not None:
                running.append((chunk, self._worker.submit(chunk, options, token)))
                if is_first:
                    text = running[-1][1].result()
                    recording.language = recording.language or text.language
                    recording.language_probability = text.language_probability
                    options = _in_language(options, text.language, self._family)
                    if options.detects_language_only:
                        return
                is_first = False
            while running and (running[0][1].done() or len(running) >= self._max_ahead):
                first, result = running.popleft()
                yield first, result.result()
        for last, result in running:
            yield last, result.result()


def _in_language(options: TranscriptionOptions, language: str | None, family: Family) -> TranscriptionOptions:
    return replace(options, language=language) if family.detects_language else options


def _counted(reader: WaveformReader, recording: _Recording, place: Place) -> Iterator[Waveform]:
    is_length_told = False
    for block in reader:
        if reader.declared_s is not None and not is_length_told:
            is_length_told = True
            place.declare(reader.declared_s)
        recording.n_samples += len(block)
        yield block


def _segments(chunk: Chunk, text: ChunkText, options: TranscriptionOptions) -> Iterator[Segment]:
    """Yield a chunk's segments, with times from the beginning of the file."""
    end_s = chunk.offset_s + len(chunk.waveform) / SAMPLE_RATE
    temperatures = options.decoding.temperatures
    window = DecodedWindow(
        start=chunk.offset_s,
        compression_ratio=compression_ratio("".join(piece.text for piece in text.pieces)),
        temperature=temperatures[0] if len(temperatures) == 1 else None,
    )
    texts = {piece.tokens: piece.text for piece in text.pieces}
    builder = SegmentBuilder(begin_s=chunk.offset_s, end_s=end_s, decode=lambda tokens: texts[tuple(tokens)])
    for piece in text.pieces:
        timed = TimedTokens(start=piece.start, end=piece.end, tokens=piece.tokens).shifted(chunk.offset_s)
        words = [word.shifted(chunk.offset_s) for word in piece.words] if options.wants_words else []
        segment = builder.build(timed, window, words=words, language=text.language)
        if segment is not None:
            yield segment
