"""One request through the engine: chunks side by side, or one after the other with the previous text as prompt.

Everything that happens to the request arrives in one inbox: prepared chunks, scored languages, decoded windows,
and cancellation. Runs in the request's own thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Many
from queue import SimpleQueue

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Request, Sequence, Status
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.chunk_decoding import ChunkDecoding
from hf_asr_endpoint.transcription.detection import detection, votes_of
from hf_asr_endpoint.transcription.long_form_events import (
    Cancelled,
    Event,
    LanguageDecided,
    PartsScored,
    WindowEnded,
)
from hf_asr_endpoint.transcription.passages import ENOUGH_SPEECH_S, RecordingLanguages, Vote
from hf_asr_endpoint.transcription.preparation import ChunkSource, Deliver, PreparationEnd, PreparedChunk
from hf_asr_endpoint.transcription.segment_order import InOrder
from hf_asr_endpoint.transcription.vocabulary import MAX_PREVIOUS_TOKENS, Vocabulary
from hf_asr_endpoint.types import Segment, TranscriptionOptions
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt
from hf_asr_endpoint.whisper.language_scores import LanguageScores

MAX_PROMPT_TEMPERATURE = 0.5  # text sampled above this would mislead the next window (openai/whisper)


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
            on_decided=lambda: self._inbox.put(LanguageDecided()),
        )
        self._hotwords = vocabulary.encode(options.hotwords or "")
        self._previous = list(vocabulary.encode(options.prompt or ""))
        self._previous_text = ""  # of the last window, where each one is conditioned on the text so far
        self._inbox: SimpleQueue[Event] = SimpleQueue()
        self._waiting: deque[PreparedChunk] = deque()
        self._running: dict[int, ChunkDecoding] = {}  # by the chunk's index
        self._followers: dict[int, PreparedChunk] = {}  # the chunk after a running one, by the running one's index
        self._open_ends: list[int] = []  # chunks whose end waits for the chunk after it to be asked
        self._n_begun = 0
        self._n_unscored = 0  # chunks whose scores are being waited for
        self._end: PreparationEnd | None = None
        self._segments = InOrder()

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
        self._request.token.add_callback(lambda: self._inbox.put(Cancelled()))
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

    def _take(self, event: Event, source: ChunkSource) -> Iterator[Segment]:
        """Handle one event; yield the segments that are complete now."""
        self._request.token.raise_if_cancelled()
        match event:
            case PreparedChunk():
                self._waiting.append(event)
            case PreparationEnd():
                self._end = event
                if event.error is not None:
                    raise event.error
            case PartsScored():
                self._take_votes(event)
            case WindowEnded():
                yield from self._take_window(event, source)
            case LanguageDecided() | Cancelled():
                pass  # The first lets the other chunks begin, below; the second was raised above.
        if self._is_done():
            return
        if self._languages.is_decided:
            self._begin_waiting()
            self._close_ends(source)
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
            self._ask_language(chunk, index=None)
        if not asked:
            self._begin()

    def _ask_language(self, chunk: PreparedChunk, *, index: int | None) -> None:
        scored: list[Vote] = []

        def on_languages(scores: Many[LanguageScores]) -> None:
            scored.extend(votes_of(chunk.speech, scores))

        self._engine.submit(
            Sequence(
                request=self._request,
                attempt=detection(chunk.spectrogram, chunk.speech),
                on_languages=on_languages,
                on_attempt=lambda state: None,
                on_end=lambda ended: self._inbox.put(
                    PartsScored(index=index, votes=tuple(scored), sequence=ended)
                ),
            )
        )

    def _take_votes(self, event: PartsScored) -> None:
        _raise_if_unfinished(event.sequence)
        if event.index is not None:
            self._close_end(event.index, event.votes)
            return
        self._languages.keep(event.votes)
        self._n_unscored -= 1
        if self._n_unscored:
            return
        if self._options.detects_language_only:
            self._languages.decide()
        else:
            self._begin()

    def _begin_waiting(self) -> None:
        """Begin the chunks that may be decoded now."""
        while self._waiting and len(self._running) < self._max_running:
            self._begin()

    def _begin(self) -> None:
        """Begin the first chunk that waits."""
        index = self._n_begun
        self._n_begun += 1  # Before it leaves the others: the engine's thread asks `_is_last` meanwhile.
        chunk = self._waiting.popleft()
        if index - 1 in self._running:
            self._followers[index - 1] = chunk
        self._running[index] = ChunkDecoding(
            chunk,
            self._options,
            vocabulary=self._vocabulary,
            languages=self._languages,
            may_wait=lambda: not self._is_last(index),
        )
        self._submit(index)

    def _is_last(self, index: int) -> bool:
        """Return whether it is known that no chunk follows one that has begun."""
        return self._end is not None and not self._waiting and index == self._n_begun - 1

    def _close_ends(self, source: ChunkSource) -> None:
        """Ask for the languages of the chunk after each open end, as soon as it is known that there is one."""
        for index in tuple(self._open_ends):
            is_last = index == self._n_begun - 1
            following = self._waiting[0] if is_last and self._waiting else self._followers.get(index)
            has_room = len(self._running) < self._max_ahead
            if following is None and self._end is None and has_room:
                source.allow_another()
                continue
            self._open_ends.remove(index)
            if following is None:
                self._close_end(index, ())
            else:
                self._ask_language(following, index=index)

    def _close_end(self, index: int, following: Many[Vote]) -> None:
        self._running[index].take_following(following)
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
                on_end=lambda ended: self._inbox.put(WindowEnded(index=index, sequence=ended)),
            )
        )

    def _take_window(self, event: WindowEnded, source: ChunkSource) -> Iterator[Segment]:
        """Take a decoded window's segments, and go on with its chunk if there is speech left in it."""
        _raise_if_unfinished(event.sequence)
        decoding = self._running[event.index]
        if decoding.has_open_end:
            self._open_ends.append(event.index)
            return
        segments = decoding.take()
        self._remember(segments, forgets_previous=decoding.forgets_previous)
        if decoding.is_done:
            del self._running[event.index]
            self._followers.pop(event.index, None)
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


def _raise_if_unfinished(sequence: Sequence) -> None:
    if sequence.status is not Status.FINISHED:
        raise sequence.error or EngineUnavailable("the request was cancelled")
