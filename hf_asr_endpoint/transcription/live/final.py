"""Carries out a final pass: a piece of a turn by the offline path, window after window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Priority, Request, Sequence, Status
from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.transcription.chunk_decoding import ChunkDecoding
from hf_asr_endpoint.transcription.live.events import LiveWord
from hf_asr_endpoint.transcription.live.jobs import FinalJob, FinalResult
from hf_asr_endpoint.transcription.live.language import SessionLanguage
from hf_asr_endpoint.transcription.preparation import PreparedChunk
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.transcription.vocabulary import MAX_PREVIOUS_TOKENS, Vocabulary
from hf_asr_endpoint.types import Segment, TranscriptionOptions
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt

MAX_CONTEXT_TOKENS = 64  # of what was said before: some sentences


class FinalPass:
    """One job. `begin` submits its first window; `take` goes on after each that has ended."""

    def __init__(
        self,
        job: FinalJob,
        spectrogram: ChunkSpectrogram,
        *,
        engine: Engine,
        vocabulary: Vocabulary,
        language: SessionLanguage,
        owner: str | None,
        on_window: Callable[[Sequence], None],
    ) -> None:
        """on_window: takes a window that has ended, in the engine's thread; it must lead to `take`."""
        self._job = job
        self._engine = engine
        self._vocabulary = vocabulary
        self._language = language
        self._on_window = on_window
        self._languages = language.of_turn(job.options)
        priority = Priority.LIVE_FINAL if job.is_urgent else Priority.LIVE_PARTIAL
        self._request = Request(job.token, owner=owner, priority=priority)
        self._segments: list[Segment] = []
        self._decoding = ChunkDecoding(
            PreparedChunk(
                offset_s=job.start_s, duration_s=job.duration_s, speech=job.speech, spectrogram=spectrogram
            ),
            TranscriptionOptions(
                language=job.options.language,
                languages=job.options.languages,
                word_timestamps=True,
                token_logprobs=True,
            ),
            vocabulary=vocabulary,
            languages=self._languages,
        )

    def begin(self) -> None:
        """Submit the next window. Raises EngineUnavailable."""
        draft = () if self._segments else self._job.draft
        options, vocabulary = self._job.options, self._vocabulary
        hotwords = vocabulary.encode(options.hotwords or "")
        guide = vocabulary.encode(options.prompt or "")
        before = self._job.before or FinalResult()
        context = vocabulary.encode(before.text)[-MAX_CONTEXT_TOKENS:]

        def make_prompt(language_token: int | None, *, with_previous: bool) -> DecoderPrompt:
            said = context if vocabulary.language(language_token) == before.language else ()
            prompt = vocabulary.prompt(
                language_token=language_token,
                task="transcribe",
                hotwords=hotwords,
                previous=(*guide, *said)[-MAX_PREVIOUS_TOKENS:] if with_previous else (),
            )
            return replace(prompt, draft=draft, feeds_draft=False)  # A timestamp comes before it.

        self._engine.submit(
            self._decoding.window(
                request=self._request,
                make_prompt=make_prompt,
                on_end=self._on_window,
                previous_text=before.text,
            )
        )

    def take(self, sequence: Sequence) -> FinalResult | None:
        """Take a window that has ended. Returns the result, or None where another window follows."""
        if sequence.status is not Status.FINISHED:
            return FinalResult(error=sequence.error)
        try:
            self._segments.extend(self._decoding.take())
            if not self._decoding.is_done:
                self.begin()
                return None
        except AsrError as exc:
            return FinalResult(error=exc)
        return self._result()

    def _result(self) -> FinalResult:
        self._language.remember(self._languages.main, speech_s=self._job.speech_s)
        language = self._vocabulary.language(self._languages.main)
        return FinalResult(
            text="".join(segment.text for segment in self._segments),
            words=tuple(word for segment in self._segments for word in _words_of(segment, self._vocabulary)),
            language=language,
            is_language_known=self._language.is_known,
        )


def _words_of(segment: Segment, vocabulary: Vocabulary) -> list[LiveWord]:
    """Return a segment's words with the log-probabilities of their tokens, which are in the same order."""
    logprobs = list(segment.token_logprobs)
    words = []
    for word in segment.words:
        n_bytes, own = len(word.word.encode()), []
        while logprobs and n_bytes > 0:
            own.append(logprobs.pop(0))
            n_bytes -= len(own[-1].token)
        words.append(LiveWord(word=word, tokens=(), logprobs=tuple(own)))
    return words
