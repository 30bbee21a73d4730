"""One request through the engine: chunks side by side, or one after the other with the text so far as prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue

from hf_asr_endpoint.audio.chunking import Chunk
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Request, Sequence, Status
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.chunk_decoding import ChunkDecoding
from hf_asr_endpoint.transcription.in_order import InOrder
from hf_asr_endpoint.transcription.threads import Stop
from hf_asr_endpoint.transcription.vocabulary import MAX_PREVIOUS_TOKENS, Vocabulary
from hf_asr_endpoint.transcription.window import ChunkSpectrogram
from hf_asr_endpoint.types import Segment, TranscriptionOptions
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt, DecodingState

MAX_TEMPERATURE_OF_PROMPT = 0.5  # what was sampled above this would mislead the next window (openai/whisper)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """What the engine's thread tells the request's: a window's decoding has ended, however."""

    index: int
    sequence: Sequence


class LongForm:
    """Decodes one request's chunks. `run` is called once, in a thread of the request's own."""

    def __init__(
        self,
        engine: Engine,
        options: TranscriptionOptions,
        *,
        vocabulary: Vocabulary,
        n_mels: int,
        padding_s: float,
        n_ahead: int,
        request: Request,
        stop: Stop,
    ) -> None:
        """padding_s: silence behind a chunk shorter than 30 s. n_ahead: chunks in memory at most."""
        self._engine = engine
        self._options = options
        self._vocabulary = vocabulary
        self._n_mels = n_mels
        self._padding_s = padding_s
        self._n_ahead = 1 if options.condition_on_previous_text else n_ahead
        self._request = request
        self._stop = stop
        self._language_token = vocabulary.language_token(options.language)
        self._hotwords = vocabulary.encode(options.hotwords or "")
        self._previous = list(vocabulary.encode(options.prompt or ""))
        self._events: SimpleQueue[_Ended | DecodingState] = SimpleQueue()
        self._running: dict[int, ChunkDecoding] = {}  # by the chunk's index
        self._segments: InOrder[Segment] = InOrder()

    @property
    def language(self) -> str | None:
        """The language given or detected; None when there was no speech to detect one in."""
        return self._vocabulary.language(self._language_token)

    def run(self, chunks: Iterable[Chunk]) -> Iterator[Segment]:
        """Yield all chunks' segments in order, each as soon as nothing before it is missing.

        Raises what iterating raises, and EngineError.
        """
        try:
            for index, chunk in enumerate(chunks):
                self._begin(index, chunk)
                while len(self._running) >= self._most_running() or not self._events.empty():
                    yield from self._advance()
            while self._running:
                yield from self._advance()
        finally:
            self._request.cancel()

    def _most_running(self) -> int:
        """The language is detected once, in the first chunk; the others wait for it."""
        return 1 if self.language is None else self._n_ahead

    def _begin(self, index: int, chunk: Chunk) -> None:
        self._stop.check()
        spectrogram = ChunkSpectrogram(chunk.waveform, n_mels=self._n_mels, padding_s=self._padding_s)
        self._running[index] = ChunkDecoding(chunk, spectrogram, self._options, vocabulary=self._vocabulary)
        self._submit(index)

    def _submit(self, index: int) -> None:
        """Have a chunk's next window decoded."""
        previous = tuple(self._previous)

        def make_prompt(language_token: int | None) -> DecoderPrompt:
            return self._vocabulary.prompt(
                language_token=language_token if self._language_token is None else self._language_token,
                task=self._options.task,
                hotwords=self._hotwords,
                previous=previous,
            )

        self._engine.submit(
            self._running[index].window(
                request=self._request,
                make_prompt=make_prompt,
                on_prefill=self._events.put if self.language is None else lambda state: None,
                on_end=lambda ended: self._events.put(_Ended(index=index, sequence=ended)),
            )
        )

    def _advance(self) -> Iterator[Segment]:
        """Wait for the engine and take what it has; yield what can be shown now."""
        event = self._events.get()
        self._stop.check()
        if isinstance(event, DecodingState):
            self._language_token = self._vocabulary.language_token_of(event)
            return
        if event.sequence.status is not Status.FINISHED:
            raise event.sequence.error or EngineUnavailable("the request was cancelled")
        decoding = self._running[event.index]
        segments = decoding.take()
        self._remember(segments)
        if decoding.is_done:
            del self._running[event.index]
        else:
            self._submit(event.index)
        yield from self._segments.push(event.index, segments, is_done=decoding.is_done)

    def _remember(self, segments: list[Segment]) -> None:
        if not self._options.condition_on_previous_text or not segments:
            return
        if segments[0].window.temperature > MAX_TEMPERATURE_OF_PROMPT:
            self._previous.clear()
            return
        self._previous += [token for segment in segments for token in segment.tokens]
        del self._previous[:-MAX_PREVIOUS_TOKENS]
