"""One chunk through the engine: a window, and further windows while speech is left after its last timestamp.

That is the seek of openai/whisper's `transcribe`, inside a chunk. A chunk in several languages is decoded passage
by passage.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Many
from typing import Protocol

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.engine.sequence import Attempt, Detection, Request, Sequence
from hf_asr_endpoint.transcription.attempt_rules import attempt_rules, slots_per_sequence
from hf_asr_endpoint.transcription.detection import detection, votes_of
from hf_asr_endpoint.transcription.fallback import Attempted, Fallback, Step, ladder
from hf_asr_endpoint.transcription.passages import ChunkLanguages, Passage, RecordingLanguages, Vote
from hf_asr_endpoint.transcription.preparation import PreparedChunk
from hf_asr_endpoint.transcription.repetition import repeats
from hf_asr_endpoint.transcription.segments import SegmentBuilder, TimedTokens
from hf_asr_endpoint.transcription.skipped_speech import skips_speech, speech_s
from hf_asr_endpoint.transcription.speech_times import fit_to_speech
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.transcription.word_split import ends_with_words
from hf_asr_endpoint.transcription.words import WindowWords
from hf_asr_endpoint.types import DecodedWindow, Segment, TranscriptionOptions, Word
from hf_asr_endpoint.units import N_FRAMES
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, AlignmentOutput
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt, DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores
from hf_asr_endpoint.whisper.log_mel import Window

MIN_REMAINING_S = 0.5  # seconds of speech after the last timestamp that are worth another window
CUT_OFF_WORD_S = 1.0  # less speech than this may also be a word that an early timestamp has cut off
MIN_PROGRESS_S = 0.5  # seconds by which a window must have advanced


class MakePrompt(Protocol):
    """Makes a window's prompt. language_token: None for English-only models."""

    def __call__(self, language_token: int | None, *, with_previous: bool) -> DecoderPrompt: ...


class ChunkDecoding:
    """The state of one chunk. `window` and `take` are called in turn until it `is_done`."""

    def __init__(
        self,
        chunk: PreparedChunk,
        options: TranscriptionOptions,
        *,
        vocabulary: Vocabulary,
        languages: RecordingLanguages,
        may_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        """may_wait: whether a chunk with an open end gets `take_following` before its first passage. Called in the
        engine's thread."""
        self._speech = chunk.speech
        self._offset_s = chunk.offset_s
        self._spectrogram = chunk.spectrogram
        self._options = options
        self._vocabulary = vocabulary
        self._languages = languages
        self._duration_s = chunk.duration_s
        self._passage = Passage(language_token=languages.main, start_s=0.0, end_s=chunk.duration_s)
        self._passages: deque[Passage] = deque()  # after the current one
        self._is_language_known = not languages.is_detected
        self._may_wait = may_wait
        self._open: ChunkLanguages | None = None  # between its scores and its first passage
        self._segments = SegmentBuilder(
            begin_s=chunk.offset_s, end_s=chunk.offset_s + chunk.duration_s, decode=vocabulary.decode
        )
        self._begin_s = 0.0  # where in the chunk the current window begins
        self._last_text = ""  # of the last segment
        self._fallback: Fallback | None = None  # of the current window
        self._alignment: AlignmentOutput | None = None  # of its text, when words are wanted and there is any
        self.forgets_previous = False
        """Whether the window was decoded without the previous text, after which it had been a loop or silence."""
        self.is_done = False

    @property
    def has_open_end(self) -> bool:
        """Whether the chunk waits for `take_following`: no window of it has been decoded yet."""
        return self._open is not None

    @property
    def begin_s(self) -> float:
        """Where the chunk begins, in seconds from the beginning of the file."""
        return self._offset_s

    @property
    def end_s(self) -> float:
        return self._offset_s + self._duration_s

    def window(
        self,
        *,
        request: Request,
        make_prompt: MakePrompt,
        on_end: Callable[[Sequence], None],
        previous_text: str = "",
    ) -> Sequence:
        """Return the next window's decoding, to be submitted to the engine.

        previous_text: of the window before, if it is in the prompt.
        """
        decoding = self._options.decoding
        self.forgets_previous = False

        def attempt(step: Step, *, is_encoded: bool) -> Attempt:
            window = None if is_encoded else self._window(is_whole=step.is_whole)
            prompt = make_prompt(self._passage.language_token, with_previous=not self.forgets_previous)
            window_s = self._passage.end_s - self._begin_s
            rules = attempt_rules(decoding, step, prompt=prompt, window_s=window_s)
            return Attempt(window=window, prompt=prompt, rules=rules)

        def on_languages(scores: Many[LanguageScores]) -> Attempt | None:
            self._take_scores(scores)
            if self.has_open_end:
                return None
            return attempt(self._begin_fallback().step, is_encoded=not self._passages)

        def on_attempt(state: DecodingState) -> Attempt | AlignmentInput | None:
            fallback = self._fallback
            assert fallback is not None
            previous, may_forget = fallback.step, bool(previous_text) and not self.forgets_previous
            # VAD found speech here: the text before may be the cause of silence, too.
            if may_forget and (self._is_loop(state, previous_text) or fallback.is_silence(state)):
                self.forgets_previous = True
                return attempt(previous, is_encoded=True)
            step = fallback.next(state, skips_speech=self._skips_speech(state.sampled))
            if step is None:
                return self._alignment_input()
            return attempt(step, is_encoded=previous.is_whole == step.is_whole)

        if self._is_language_known:
            first: Attempt | Detection = attempt(self._begin_fallback().step, is_encoded=False)
        else:
            first = detection(self._spectrogram, self._speech)
        return Sequence(
            request=request,
            attempt=first,
            on_attempt=on_attempt,
            on_languages=on_languages,
            on_alignment=self._keep_alignment,
            on_end=on_end,
            n_slots=slots_per_sequence(decoding),
        )

    def _is_loop(self, state: DecodingState, previous_text: str) -> bool:
        """Return whether a window repeats itself or the text before it, which may be the cause."""
        assert self._fallback is not None
        text = self._vocabulary.decode(state.sampled)
        return repeats(previous_text, text) or self._fallback.is_repetitive(text)

    def _window(self, *, is_whole: bool) -> Window:
        return self._spectrogram.window(self._begin_s, end_s=self._passage.end_s, is_whole=is_whole)

    def _begin_fallback(self) -> Fallback:
        n_frames = self._spectrogram.n_frames(self._begin_s, end_s=self._passage.end_s)
        decoding = self._options.decoding
        steps = ladder(decoding.temperatures, is_cut=n_frames < N_FRAMES)
        speech_s, decode = self._speech_s(self._begin_s, self._passage.end_s), self._vocabulary.decode
        self._fallback = Fallback(steps, decoding.thresholds, speech_s=speech_s, decode=decode)
        return self._fallback

    def _take_scores(self, scores: Many[LanguageScores]) -> None:
        votes = votes_of(self._speech, scores)
        self._languages.decide(votes)
        self._open = self._languages.chunk(votes)
        if not (self._open.has_open_end and self._may_wait()):
            self.take_following(())

    def take_following(self, votes: Many[Vote]) -> None:
        """Begin the first passage. votes: of the chunk after this one; none where there is none."""
        assert self._open is not None
        self._passage, *others = self._open.passages(duration_s=self._duration_s, following=votes)
        self._passages.extend(others)
        self._open = None
        self._is_language_known = True

    def take(self) -> list[Segment]:
        """Return the decoded window's segments, and move on to the next window if speech is left after them."""
        assert self._fallback is not None
        attempted = self._fallback.result()
        if attempted is None:
            self._end_passage()
            return []
        pieces, seek_s, has_more = self._advance(attempted)
        words = self._take_words(pieces, attempted.state)
        window = DecodedWindow(
            start=self._offset_s + self._begin_s,
            temperature=attempted.temperature,
            avg_logprob=attempted.state.avg_logprob,
            compression_ratio=attempted.compression_ratio,
            no_speech_prob=attempted.state.no_speech_prob,
        )
        speech = self._window_speech()
        fitted = fit_to_speech(pieces, speech, end_s=self._passage.end_s - self._begin_s)
        built = [
            self._build(timed, window, attempted.state, of_piece)
            for timed, of_piece in zip(fitted, words, strict=True)
            if timed is not None
        ]
        segments = [segment for segment in built if segment is not None]
        is_repeated = self._may_begin_in_a_word() and ends_with_words(
            self._last_text,
            "".join(segment.text for segment in segments),
            language=self._vocabulary.language_of(attempted.state),
        )
        if has_more:
            self._begin_s = seek_s
        else:
            self._end_passage()
        if is_repeated:
            return []
        self._last_text = segments[-1].text if segments else self._last_text
        return segments

    def _may_begin_in_a_word(self) -> bool:
        """Return whether the window may begin inside a word already decoded, because its timestamp came early."""
        begins_in_speech = any(span.start_s < self._begin_s < span.end_s for span in self._speech)
        return begins_in_speech and self._speech_s(self._begin_s, self._passage.end_s) < CUT_OFF_WORD_S

    def _end_passage(self) -> None:
        if self._passages:
            self._passage = self._passages.popleft()
            self._begin_s = self._passage.start_s
        else:
            self.is_done = True

    def _advance(self, attempted: Attempted) -> tuple[list[TimedTokens], float, bool]:
        """Return the window's timed tokens, where in the chunk it ends, and whether speech is left after it."""
        remaining_s = self._passage.end_s - self._begin_s
        split = self._vocabulary.split(attempted.state.sampled, window_s=remaining_s)
        pieces = list(split.segments)
        seek_s = self._begin_s + split.end_s
        has_more = split.end_s >= MIN_PROGRESS_S and self._speech_s(seek_s, self._passage.end_s) >= MIN_REMAINING_S
        if split.unfinished is not None and not (has_more and attempted.state.is_cut_off):
            # The chunk ends in silence, so its last words are complete although no timestamp closes them.
            pieces.append(split.unfinished)
            has_more = False
        return pieces, seek_s, has_more

    def _build(
        self, timed: TimedTokens, window: DecodedWindow, state: DecodingState, words: Many[Word]
    ) -> Segment | None:
        logprobs = state.logprobs[timed.first : timed.first + len(timed.tokens)]
        wants_logprobs = self._options.token_logprobs
        return self._segments.build(
            timed.shifted(window.start),
            window,
            words=[word.shifted(window.start) for word in words],
            language=self._vocabulary.language(self._passage.language_token),
            token_logprobs=self._vocabulary.token_logprobs(timed.tokens, logprobs) if wants_logprobs else (),
        )

    def _alignment_input(self) -> AlignmentInput | None:
        """Return the text to align when words are wanted: that of the attempt that is kept."""
        assert self._fallback is not None
        attempted = self._fallback.result() if self._options.wants_words else None
        return None if attempted is None else self._window_words().alignment_input(attempted.state)

    def _keep_alignment(self, alignment: AlignmentOutput) -> None:
        self._alignment = alignment

    def _take_words(self, pieces: Many[TimedTokens], state: DecodingState) -> list[list[Word]]:
        alignment, self._alignment = self._alignment, None
        if alignment is None:
            return [[] for _ in pieces]
        return self._window_words().find(pieces, state, alignment)

    def _window_words(self) -> WindowWords:
        return WindowWords(
            self._vocabulary,
            task=self._options.task,
            duration_s=self._passage.end_s - self._begin_s,
            speech=self._window_speech(),
        )

    def _window_speech(self) -> list[SpeechSpan]:
        """Return the spans of speech, in seconds from the window's beginning."""
        begin_s, end_s = self._begin_s, self._passage.end_s
        return [
            SpeechSpan(start_s=span.start_s - begin_s, end_s=min(span.end_s, end_s) - begin_s)
            for span in self._speech
            if span.start_s < end_s
        ]

    def _skips_speech(self, tokens: Many[int]) -> bool:
        split = self._vocabulary.split(tokens, window_s=self._passage.end_s - self._begin_s)
        return skips_speech(split.segments, self._window_speech(), decode=self._vocabulary.decode)

    def _speech_s(self, start_s: float, end_s: float) -> float:
        return speech_s(self._speech, start_s, end_s)
