"""The Transcriber over the engine: every request in a thread of its own, all of them in one batch."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from hf_asr_endpoint.audio.chunking import Chunk, ChunkingOptions, split_chunks
from hf_asr_endpoint.audio.levelling import LevelledDetector
from hf_asr_endpoint.audio.vad import VoiceActivityDetector
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Request
from hf_asr_endpoint.transcription.long_form import LongForm
from hf_asr_endpoint.transcription.model_limits import (
    check_language_and_task,
    check_suppressed_tokens,
    check_width,
)
from hf_asr_endpoint.transcription.threads import SHUTTING_DOWN, Stop, iterate_in_thread
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.transcription.warm_up import warm_up
from hf_asr_endpoint.types import (
    Health,
    ModelInfo,
    Segment,
    Transcription,
    TranscriptionOptions,
    Waveform,
)
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.process import use_one_core

N_PREPARING = 1  # requests whose audio is decoded and analysed at a time, beside the engine
END = object()
UNKNOWN_LANGUAGE = "en"  # what is said of a recording in which nobody speaks


class BatchingTranscriber:
    """Owns the engine. n_requests: how many are worked on at a time; more wait for a thread."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: WhisperTokenizer,
        info: ModelInfo,
        *,
        n_requests: int,
        n_ahead: int,
        padding_s: float,
        max_beams: int,
    ) -> None:
        """n_ahead: a request's chunks in memory at most. padding_s: silence behind a chunk shorter than 30 s.

        max_beams: beams, candidates or samples that a request may ask for.
        """
        self._engine = engine
        self._tokenizer = tokenizer
        self._info = info
        self._vocabulary = Vocabulary(tokenizer, is_multilingual=info.is_multilingual)
        self._detector = LevelledDetector(VoiceActivityDetector())
        self._n_ahead = n_ahead
        self._padding_s = padding_s
        self._max_beams = max_beams
        self._closed = threading.Event()
        self._threads = ThreadPoolExecutor(n_requests, "request", initializer=use_one_core)
        self._preparing = threading.Semaphore(N_PREPARING)
        engine.start()

    def warm_up(self, *, n_slots: int) -> None:
        """Have done with what the first requests would wait for. Raises EngineError."""
        warm_up(self._engine, self._vocabulary, n_slots=n_slots, n_mels=self._info.n_mels)

    async def stream(
        self, waveform: Iterable[Waveform], options: TranscriptionOptions
    ) -> AsyncGenerator[Segment | Transcription]:
        check_language_and_task(self._tokenizer, options, is_multilingual=self._info.is_multilingual)
        check_width(options.decoding, max_beams=self._max_beams, n_slots=self._engine.n_slots)
        check_suppressed_tokens(self._tokenizer, options.decoding)
        request = Request()
        stop = Stop(self._closed, on_cancel=request.cancel)
        work = iterate_in_thread(self._threads, lambda: self._transcribe(waveform, options, request, stop), stop)
        async with aclosing(work) as events:
            async for event in events:
                yield event

    def health(self) -> Health:
        if self._closed.is_set():
            return Health(state="failed", detail=SHUTTING_DOWN)
        if self._engine.failure is not None:
            return Health(state="failed", detail=str(self._engine.failure))
        return Health(state="ready", model=self._info)

    def close(self) -> None:
        self._closed.set()
        self._engine.close()
        self._threads.shutdown(cancel_futures=True)

    def _transcribe(
        self, waveform: Iterable[Waveform], options: TranscriptionOptions, request: Request, stop: Stop
    ) -> Iterator[Segment | Transcription]:
        stop.check()
        counted = _Counted(waveform, stop)
        long_form = LongForm(
            self._engine,
            options,
            vocabulary=self._vocabulary,
            n_mels=self._info.n_mels,
            padding_s=self._padding_s,
            n_ahead=self._n_ahead,
            request=request,
            stop=stop,
        )
        chunking = ChunkingOptions(voice_activity=options.voice_activity, chunk_length_s=options.chunk_length_s)
        segments = []
        for segment in long_form.run(self._in_turn(split_chunks(counted, self._detector, options=chunking))):
            segments.append(segment)
            yield segment
        yield Transcription(
            task=options.task,
            language=options.language or long_form.language or UNKNOWN_LANGUAGE,
            duration_s=counted.n_samples / SAMPLE_RATE,
            segments=tuple(segments),
        )

    def _in_turn(self, chunks: Iterator[Chunk | None]) -> Iterator[Chunk]:
        """Yield the chunks, no more than N_PREPARING requests cutting theirs at the same moment."""
        is_complete = False
        while not is_complete:
            with self._preparing:
                chunk = next(chunks, END)
            is_complete = chunk is END
            if isinstance(chunk, Chunk):
                yield chunk


class _Counted:
    """A waveform that counts its samples as they pass, and ends when `stop` says so."""

    def __init__(self, waveform: Iterable[Waveform], stop: Stop) -> None:
        self._waveform = waveform
        self._stop = stop
        self.n_samples = 0

    def __iter__(self) -> Iterator[Waveform]:
        for block in self._waveform:
            self._stop.check()
            self.n_samples += len(block)
            yield block
