"""One request through the engine: chunks side by side, or one after the other with the previous text as prompt.

Everything that happens to the request arrives in one inbox: prepared chunks, scored languages, decoded windows,
and cancellation. Runs in the request's own thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol, TypeAlias

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Request, Sequence, Status
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.chunk_decoding import ChunkDecoding
from hf_asr_endpoint.transcription.detection import detection, votes_of
from hf_asr_endpoint.transcription.passages import ENOUGH_SPEECH_S, RecordingLanguages, Vote
from hf_asr_endpoint.transcription.preparation import Deliver, PreparationEnd, PreparedChunk
from hf_asr_endpoint.transcription.vocabulary import MAX_PREVIOUS_TOKENS, Vocabulary
from hf_asr_endpoint.types import Segment, TranscriptionOptions
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt
from hf_asr_endpoint.whisper.language_scores import LanguageScores

MAX_PROMPT_TEMPERATURE = 0.5  # text sampled above this would mislead the next window (openai/whisper)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WindowEnded:
    """From the engine's thread: a window's decoding has ended, in whatever status."""

    index: int
    sequence: Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartsScored:
    """From the engine's thread: what the model says of one chunk's language."""

    votes: tuple[Vote, ...]
    sequence: Sequence


class _LanguageDecided:
    """From the engine's thread: the first chunk has decided the recording's language."""


class _Cancelled:
    """From whoever cancelled the request: wake up."""


_Event: TypeAlias = PreparedChunk | PreparationEnd | _PartsScored | _LanguageDecided | _WindowEnded | _Cancelled


class ChunkSource(Protocol):
    """Delivers the request's chunks up to a number that grows with `release` and `allow_another`."""

    def release(self) -> None:
        """Allow a chunk in the place of one that is done; a source that ramps up allows another one besides."""
        ...

    def allow_another(self) -> None:
        """Allow one more chunk, up to as many as the source was made for."""
        ...


class LongForm:
    """Decodes one request's chunks. `run` is called once."""

    def __init__(
        self,
        engine: Engine,
        options: TranscriptionOptions,
        *,
        vocabulary: Vocabulary,
        max_ahead: int,
        request: Request,
        on_progress: Callable[[float], None] = lambda done_s: None,
    ) -> None:
        """max_ahead: chunks decoded at a time, at most. on_progress: takes up to where all is decoded, in seconds
        from the beginning; called in the thread of `run`."""
        self._engine = engine
        self._options = options
        self._vocabulary = vocabulary
        self._max_ahead = max_ahead
        self._max_running = 1 if options.condition_on_previous_text else max_ahead
        self._request = request
        self._on_progress = on_progress
        self._languages = RecordingLanguages(
            given=vocabulary.language_token(options.language),
            allowed=vocabulary.language_tokens(options.languages),
            is_detected=vocabulary.is_multilingual and options.language is None,
            on_decided=lambda: self._inbox.put(_LanguageDecided()),
        )
        self._hotwords = vocabulary.encode(options.hotwords or "")
        self._previous = list(vocabulary.encode(options.prompt or ""))
        self._previous_text = ""  # of the last window, where each one is conditioned on the text so far
        self._inbox: SimpleQueue[_Event] = SimpleQueue()
        self._waiting: deque[PreparedChunk] = deque()
        self._running: dict[int, ChunkDecoding] = {}  # by the chunk's index
        self._n_begun = 0
        self._n_unscored = 0  # chunks whose scores are being waited for
        self._end: PreparationEnd | None = None
        self._segments = _InOrder()

    @property
    def language(self) -> str | None:
        """The language given or detected; None when there was no speech to detect it in."""
        return self._vocabulary.language(self._languages.main)

    @property
    def language_probability(self) -> float | None:
        """Of the detected language, 0 to 1; None when it was given, or when there was no speech."""
        return self._languages.probability

    @property
    def duration_s(self) -> float:
        """Seconds of audio, once `run` has ended."""
        return 0.0 if self._end is None else self._end.duration_s

    def run(self, start: Callable[[Deliver], ChunkSource]) -> Iterator[Segment]:
        """Yield all chunks' segments in order, each as soon as nothing before it is missing.

        start: starts to prepare the chunks, and hands them to its argument.
        Raises what preparing raises, EngineError, and EngineUnavailable when the request is cancelled.
        """
        self._request.token.add_callback(lambda: self._inbox.put(_Cancelled()))
        source = start(self._inbox.put)
        try:
            while not self._is_done():
                yield from self._take(self._inbox.get(), source)
        finally:
            self._request.token.cancel()

    def _is_done(self) -> bool:
        if self._options.detects_language_only and self._languages.is_decided:
            return True
        return self._end is not None and not (self._waiting or self._running or self._n_unscored)

    def _take(self, event: _Event, source: ChunkSource) -> Iterator[Segment]:
        """Handle one event; yield the segments that are complete now."""
        self._request.token.raise_if_cancelled()
        match event:
            case PreparedChunk():
                self._waiting.append(event)
            case PreparationEnd():
                self._end = event
                if event.error is not None:
                    raise event.error
            case _PartsScored():
                self._take_votes(event)
            case _WindowEnded():
                yield from self._take_window(event, source)
            case _LanguageDecided() | _Cancelled():
                pass  # The first lets the other chunks begin, below; the second was raised above.
        if self._is_done():
            return
        if self._languages.is_decided:
            self._begin_waiting()
        elif self._waiting and not (self._running or self._n_unscored):
            self._detect_language(source)

    def _detect_language(self, source: ChunkSource) -> None:
        """Ask for the recording's language as soon as there is enough speech, or no more.

        One chunk that has enough is asked and decoded in one go. Of several short ones, all but the first are
        asked before: what they say together decides the language that each of them is decoded in.
        """
        speech_s = sum(span.end_s - span.start_s for chunk in self._waiting for span in chunk.speech)
        has_enough = speech_s >= ENOUGH_SPEECH_S or len(self._waiting) >= self._max_ahead
        if not has_enough and self._end is None:
            source.allow_another()
            return
        asked = list(self._waiting)[0 if self._options.detects_language_only else 1 :]
        self._n_unscored = len(asked)
        for chunk in asked:
            self._ask_language(chunk)
        if not asked:
            self._begin(self._waiting.popleft())

    def _ask_language(self, chunk: PreparedChunk) -> None:
        scored: list[Vote] = []

        def on_languages(scores: Many[LanguageScores]) -> None:
            scored.extend(votes_of(chunk.speech, scores))

        self._engine.submit(
            Sequence(
                request=self._request,
                attempt=detection(chunk.spectrogram, chunk.speech),
                on_languages=on_languages,
                on_attempt=lambda state: None,
                on_end=lambda ended: self._inbox.put(_PartsScored(votes=tuple(scored), sequence=ended)),
            )
        )

    def _take_votes(self, event: _PartsScored) -> None:
        _raise_if_unfinished(event.sequence)
        self._languages.keep(event.votes)
        self._n_unscored -= 1
        if self._n_unscored:
            return
        if self._options.detects_language_only:
            self._languages.decide()
        else:
            self._begin(self._waiting.popleft())

    def _begin_waiting(self) -> None:
        """Begin the chunks that may be decoded now."""
        while self._waiting and len(self._running) < self._max_running:
            self._begin(self._waiting.popleft())

    def _begin(self, chunk: PreparedChunk) -> None:
        index = self._n_begun
        self._n_begun += 1
        self._running[index] = ChunkDecoding(
            chunk, self._options, vocabulary=self._vocabulary, languages=self._languages
        )
        self._submit(index)

    def _submit(self, index: int) -> None:
        """Submit a chunk's next window to the engine."""
        previous = tuple(self._previous)

        def make_prompt(language_token: int | None, *, with_previous: bool) -> DecoderPrompt:
            return self._vocabulary.prompt(
                language_token=language_token,
                task=self._options.task,
                hotwords=self._hotwords,
                previous=previous if with_previous else (),
            )

        self._engine.submit(
            self._running[index].window(
                request=self._request,
                make_prompt=make_prompt,
                previous_text=self._previous_text,
                on_end=lambda ended: self._inbox.put(_WindowEnded(index=index, sequence=ended)),
            )
        )

    def _take_window(self, event: _WindowEnded, source: ChunkSource) -> Iterator[Segment]:
        """Take a decoded window's segments, and go on with its chunk if there is speech left in it."""
        _raise_if_unfinished(event.sequence)
        decoding = self._running[event.index]
        segments = decoding.take()
        self._remember(segments, forgets_previous=decoding.forgets_previous)
        if decoding.is_done:
            del self._running[event.index]
            source.release()
            self._on_progress(min((chunk.begin_s for chunk in self._running.values()), default=decoding.end_s))
        else:
            self._submit(event.index)
        yield from self._segments.push(event.index, segments, is_done=decoding.is_done)

    def _remember(self, segments: list[Segment], *, forgets_previous: bool) -> None:
        """Make a window's text the prompt of the next one, after what was said before."""
        if not self._options.condition_on_previous_text or not segments:
            return
        self._previous_text = "".join(segment.text for segment in segments)
        is_misleading = (segments[0].window.temperature or 0.0) > MAX_PROMPT_TEMPERATURE
        if forgets_previous or is_misleading:
            self._previous.clear()
        if is_misleading:
            return
        self._previous += [token for segment in segments for token in segment.tokens]
        del self._previous[:-MAX_PREVIOUS_TOKENS]


class _InOrder:
    """Restores the order of segments: those of a chunk pass once all chunks before it are done."""

    def __init__(self) -> None:
        self._current = 0  # the first chunk that is not done
        self._held: dict[int, list[Segment]] = {}  # of later chunks
        self._done: set[int] = set()

    def push(self, index: int, segments: Iterable[Segment], *, is_done: bool) -> Iterator[Segment]:
        """Take a chunk's next segments; yield all that can pass now."""
        if is_done:
            self._done.add(index)
        if index != self._current:
            self._held.setdefault(index, []).extend(segments)
            return
        yield from segments
        while self._current in self._done:
            self._done.remove(self._current)
            self._current += 1
            yield from self._held.pop(self._current, ())


def _raise_if_unfinished(sequence: Sequence) -> None:
    if sequence.status is not Status.FINISHED:
        raise sequence.error or EngineUnavailable("the request was cancelled")
