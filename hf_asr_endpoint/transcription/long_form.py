"""One request through the engine: chunks side by side, or one after the other with the text so far as prompt.

A chunk is decoded with timestamps. When the model stops before the speech in it does, decoding goes on from
the last timestamp (the seek of openai/whisper's `transcribe`, inside a chunk).
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from queue import SimpleQueue

from hf_asr_endpoint.audio.chunking import Chunk, SpeechSpan
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Attempt, Request, Sequence, Status
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.fallback import Attempted, Fallback, Step, ladder, sampling_rules
from hf_asr_endpoint.transcription.segments import TimedTokens
from hf_asr_endpoint.transcription.threads import Stop
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.transcription.window import ChunkSpectrogram
from hf_asr_endpoint.types import TranscriptionOptions
from hf_asr_endpoint.units import N_FRAMES, SAMPLE_RATE
from hf_asr_endpoint.whisper.decoding_state import DecodingState

MIN_LEFT_S = 1.0  # seconds of speech behind the last timestamp that are worth another window
MIN_PROGRESS_S = 0.5  # seconds that a window must have taken the decoding further
MIN_SKIPPED_S = 5.0  # seconds of speech in a segment, from which on too little text is suspicious
MIN_BYTES_PER_S = 7.0  # UTF-8 bytes of text in a second of speech: half of what most speech has
MAX_TEMPERATURE_OF_PROMPT = 0.5  # what was sampled above this would mislead the next window (openai/whisper)


@dataclass(slots=True, eq=False, kw_only=True)
class _Piece:
    """A chunk on its way. begin_s: where in it the window under way begins."""

    index: int
    offset_s: float
    duration_s: float
    speech: tuple[SpeechSpan, ...]
    spectrogram: ChunkSpectrogram
    begin_s: float = 0.0
    timed: list[TimedTokens] = field(default_factory=list)

    def speech_s(self, start_s: float, end_s: float) -> float:
        """Return how many seconds of speech lie between two times in the chunk."""
        return sum(max(0.0, min(span.end_s, end_s) - max(span.start_s, start_s)) for span in self.speech)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """What the engine's thread tells the request's: a window's decoding has ended, however."""

    piece: _Piece
    fallback: Fallback
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
        self._events: SimpleQueue[_Ended | DecodingState] = SimpleQueue()
        self._previous: list[int] = []
        self._texts: dict[int, list[TimedTokens]] = {}  # by the chunk's index

    @property
    def language(self) -> str | None:
        """The language given or detected; None when there was no speech to detect one in."""
        return self._vocabulary.language(self._language_token)

    def run(self, chunks: Iterable[Chunk]) -> list[TimedTokens]:
        """Return all chunks' text in order, with times from the beginning of the file.

        Raises what iterating raises, and EngineError.
        """
        try:
            n_running = 0
            for index, chunk in enumerate(chunks):
                self._begin(index, chunk)
                n_running += 1
                while n_running >= self._most_running():
                    n_running -= self._advance()
            while n_running:
                n_running -= self._advance()
            return [timed for index in sorted(self._texts) for timed in self._texts[index]]
        finally:
            self._request.cancel()

    def _most_running(self) -> int:
        """The language is detected once, in the first chunk; the others wait for it."""
        return 1 if self.language is None else self._n_ahead

    def _begin(self, index: int, chunk: Chunk) -> None:
        self._stop.check()
        spectrogram = ChunkSpectrogram(chunk.waveform, n_mels=self._n_mels, padding_s=self._padding_s)
        self._submit(
            _Piece(
                index=index,
                offset_s=chunk.offset_s,
                duration_s=len(chunk.waveform) / SAMPLE_RATE,
                speech=chunk.speech,
                spectrogram=spectrogram,
            )
        )

    def _submit(self, piece: _Piece) -> None:
        """Have a window decoded, from `piece.begin_s` on."""
        decoding = self._options.decoding
        steps = ladder(decoding.temperatures, is_cut=piece.spectrogram.n_frames(piece.begin_s) < N_FRAMES)
        fallback = Fallback(
            steps,
            decoding,
            decode=self._vocabulary.decode,
            skips_speech=lambda tokens: self._skips_speech(piece, tokens),
        )
        previous = tuple(self._previous)

        def attempt(step: Step, before: Step | None) -> Attempt:
            is_encoded = before is not None and before.is_whole == step.is_whole
            window = None if is_encoded else piece.spectrogram.window(piece.begin_s, is_whole=step.is_whole)
            prompt = self._vocabulary.prompt(
                language_token=self._language_token, task=self._options.task, previous=previous
            )
            return Attempt(window=window, prompt=prompt, rules=sampling_rules(decoding, step, prompt=prompt))

        def on_attempt(state: DecodingState) -> Attempt | None:
            before = fallback.step
            step = fallback.next(state)
            return None if step is None else attempt(step, before)

        sequence = Sequence(
            request=self._request,
            attempt=attempt(fallback.step, None),
            on_attempt=on_attempt,
            on_prefill=self._events.put if self.language is None else lambda state: None,
            on_end=lambda ended: self._events.put(_Ended(piece=piece, fallback=fallback, sequence=ended)),
        )
        self._engine.submit(sequence)

    def _advance(self) -> int:
        """Wait for the engine and take what it has; return how many chunks are done by that, 0 or 1."""
        event = self._events.get()
        self._stop.check()
        if isinstance(event, DecodingState):
            self._language_token = event.language_token
            return 0
        if event.sequence.status is not Status.FINISHED:
            raise event.sequence.error or EngineUnavailable("the request was cancelled")
        if self._take(event.piece, event.fallback.result()):
            self._submit(event.piece)
            return 0
        self._texts[event.piece.index] = event.piece.timed
        return 1

    def _take(self, piece: _Piece, attempted: Attempted | None) -> bool:
        """Add a window's text to its chunk's; return whether there is speech left for another window."""
        if attempted is None:
            return False
        left_s = piece.duration_s - piece.begin_s
        window = self._vocabulary.split(attempted.state.sampled, window_s=left_s)
        segments = list(window.segments)
        seek_s = piece.begin_s + window.end_s
        goes_on = window.end_s >= MIN_PROGRESS_S and piece.speech_s(seek_s, piece.duration_s) >= MIN_LEFT_S
        if window.unfinished is not None and not (goes_on and attempted.state.is_cut_off):
            # The chunk ends in silence, so its last words are whole, though no timestamp closes them.
            segments.append(window.unfinished)
            goes_on = False
        piece.timed += [timed.later(piece.offset_s + piece.begin_s) for timed in segments]
        self._remember(attempted, segments)
        piece.begin_s = seek_s
        return goes_on

    def _skips_speech(self, piece: _Piece, tokens: Many[int]) -> bool:
        """Say whether the model went on to a later time without the words: the contrary of a loop."""
        window = self._vocabulary.split(tokens, window_s=piece.duration_s - piece.begin_s)
        for timed in window.segments:
            speech_s = piece.speech_s(piece.begin_s + timed.start, piece.begin_s + timed.end)
            n_bytes = len(self._vocabulary.decode(timed.tokens).encode())
            if speech_s >= MIN_SKIPPED_S and n_bytes < MIN_BYTES_PER_S * speech_s:
                return True
        return False

    def _remember(self, attempted: Attempted, segments: Iterable[TimedTokens]) -> None:
        if not self._options.condition_on_previous_text:
            return
        if attempted.temperature > MAX_TEMPERATURE_OF_PROMPT:
            self._previous.clear()
            return
        self._previous += [token for timed in segments for token in timed.tokens]
