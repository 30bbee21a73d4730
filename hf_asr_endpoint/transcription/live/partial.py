"""Carries out a partial pass: a window through the engine, and its new words."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence as Many

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.engine.sequence import Attempt, Detection, Priority, Request, Sequence, Status
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.fallback import compression_ratio
from hf_asr_endpoint.transcription.live.events import LiveWord
from hf_asr_endpoint.transcription.live.jobs import PartialJob, PartialResult
from hf_asr_endpoint.transcription.live.language import SessionLanguage
from hf_asr_endpoint.transcription.passages import positions
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.transcription.vocabulary import MAX_PREVIOUS_TOKENS, Vocabulary
from hf_asr_endpoint.transcription.word_split import split_words
from hf_asr_endpoint.transcription.words import WindowWords
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, AlignmentOutput
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan

MIN_TOKENS, TOKENS_PER_S = 16, 10
"""The limit of a pass's tokens: nobody says so much. What goes beyond is a loop."""
BEYOND_SPEECH_S = 0.3  # A word that begins later than this behind the last speech is invented.
MAX_COMPRESSION_RATIO, MAX_NO_SPEECH_PROB, MIN_AVG_LOGPROB = 2.4, 0.6, -1.0  # as for recordings


class PartialPass:
    """One job. `begin` returns its sequence; the engine's thread calls the rest."""

    def __init__(
        self,
        job: PartialJob,
        spectrogram: ChunkSpectrogram,
        *,
        vocabulary: Vocabulary,
        language: SessionLanguage,
        owner: str | None,
        on_result: Callable[[PartialResult], None],
    ) -> None:
        self._job = job
        self._spectrogram = spectrogram
        self._vocabulary = vocabulary
        self._language = language
        self._owner = owner
        self._on_result = on_result
        self._state: DecodingState | None = None
        self._words: list[LiveWord] = []
        self._began_s = time.monotonic()
        self._windows = WindowWords(
            vocabulary, task="transcribe", duration_s=job.duration_s, speech=list(job.speech)
        )

    def begin(self) -> Sequence:
        """Return the sequence to submit."""
        window = self._spectrogram.window(0.0, is_whole=False)
        request = Request(self._job.token, owner=self._owner, priority=Priority.LIVE_PARTIAL)
        asks = self._language.needs_detection(self._job.options)
        first: Attempt | Detection = (
            Detection(window=window, spans=(self._speech_span(),))
            if asks
            else self._attempt(window, self._language.token(self._job.options))
        )
        return Sequence(
            request=request,
            attempt=first,
            on_languages=self._take_language,
            on_attempt=self._take_text,
            on_alignment=self._take_alignment,
            on_end=self._end,
        )

    def _speech_span(self) -> PositionSpan:
        speech = self._job.speech
        return next(positions([SpeechSpan(start_s=speech[0].start_s, end_s=speech[-1].end_s)]))

    def _attempt(self, window: object | None, language_token: int | None) -> Attempt:
        job, vocabulary = self._job, self._vocabulary
        prompt = vocabulary.prompt(
            language_token=language_token,
            task="transcribe",
            hotwords=vocabulary.encode(job.options.hotwords or ""),
            previous=vocabulary.encode(job.options.prompt or "")[-MAX_PREVIOUS_TOKENS:],
        )
        prefix = vocabulary.beginning([token for word in job.confirmed for token in word.tokens])
        logprobs = [one.logprob for word in job.confirmed for one in word.logprobs]
        return Attempt(
            window=window,
            prompt=DecoderPrompt(
                tokens=prompt.tokens,
                sot_index=prompt.sot_index,
                prefix=prefix,
                prefix_logprobs=(0.0, *logprobs),
                draft=job.draft,
            ),
            rules=AttemptRules(max_new_tokens=self._max_tokens(len(prefix), len(prompt.tokens))),
        )

    def _max_tokens(self, n_prefix: int, n_prompt: int) -> int:
        left_s = self._job.end_s - (self._job.confirmed[-1].word.end if self._job.confirmed else self._job.start_s)
        wanted = n_prefix + MIN_TOKENS + round(TOKENS_PER_S * left_s)
        return max(min(wanted, self._vocabulary.capacity(n_prompt)), n_prefix + 1)

    def _take_language(self, scores: Many[LanguageScores]) -> Attempt:
        token = self._language.choose(scores[0], self._job.options, speech_s=self._job.speech_s)
        return self._attempt(None, token)

    def _take_text(self, state: DecodingState) -> AlignmentInput | None:
        self._state = state
        n_prefix = len(state.prompt.prefix)
        new = self._vocabulary.text_tokens(state.sampled[n_prefix:])
        if not new or state.is_cut_off or self._is_invented(state, new):
            return None
        return self._windows.alignment_input(state)

    def _is_invented(self, state: DecodingState, new: Many[int]) -> bool:
        """Return whether the text is a loop, or unlikely text of a window that sounds like silence."""
        is_loop = compression_ratio(self._vocabulary.decode(new)) > MAX_COMPRESSION_RATIO
        is_silence = state.no_speech_prob > MAX_NO_SPEECH_PROB and state.avg_logprob < MIN_AVG_LOGPROB
        return is_loop or is_silence

    def _take_alignment(self, alignment: AlignmentOutput) -> None:
        state, vocabulary = self._state, self._vocabulary
        assert state is not None
        language = vocabulary.language_of(state)
        n_prefix = len(vocabulary.text_tokens(state.prompt.prefix))
        text = vocabulary.text_tokens(state.sampled)
        known = split_words(text[:n_prefix], language=language, decode=vocabulary.decode)
        new = split_words(text[n_prefix:], language=language, decode=vocabulary.decode, first=n_prefix)
        timed = self._windows.time([*known, *new], alignment)[len(known) :]
        logprobs = [
            logprob
            for token, logprob in zip(state.sampled, state.logprobs, strict=False)
            if vocabulary.text_tokens([token])
        ]
        latest_s = self._job.speech[-1].end_s + BEYOND_SPEECH_S
        for word, tokens in zip(timed, new, strict=True):
            if word.start > latest_s:
                break
            own = slice(tokens.tokens.start, tokens.tokens.stop)
            self._words.append(
                LiveWord(
                    word=word.shifted(self._job.start_s),
                    tokens=text[own],
                    logprobs=vocabulary.token_logprobs(text[own], logprobs[own]),
                )
            )

    def _end(self, sequence: Sequence) -> None:
        if sequence.status is Status.CANCELLED:
            return
        error = None if sequence.status is Status.FINISHED else sequence.error or EngineUnavailable("cancelled")
        self._on_result(
            PartialResult(
                words=tuple(self._words),
                is_language_known=self._language.is_known,
                took_s=time.monotonic() - self._began_s,
                error=error,
            )
        )
