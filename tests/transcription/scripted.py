"""One request whose model follows a script, and the parts that scripts are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field

import numpy as np
import torch

from hf_asr_endpoint.audio.chunking import Chunk, SpeechSpan
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Request
from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.transcription.long_form import LongForm
from hf_asr_endpoint.transcription.preparation import Deliver, PreparationEnd, PreparedChunk
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.types import Segment, TranscriptionOptions
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan
from tests.fake_model import FakeSpeechModel, scores_for

N_SLOTS = 8
PADDING_S = 6.0
BEGIN = 50_364  # <|0.00|> of multilingual models
ENGLISH = TranscriptionOptions(language="en")


def at(seconds: float) -> int:
    """Return the timestamp token."""
    return BEGIN + round(seconds / 0.02)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A scripted result for a window: tokens, and the numbers that thresholds are compared with."""

    tokens: tuple[int, ...]
    avg_logprob: float = -0.2
    no_speech_prob: float = 0.0


@dataclass(slots=True)
class ScriptedModel:
    """A SpeechModel that returns the script's results, prompt by prompt.

    frames: of each window that was encoded. states: of each prompt that was fed.
    known: all language tokens. language: of every span. languages: of the first spans that are asked for, instead.
    asked: the spans of each window that had any.
    """

    is_encoding = False

    script: list[Decoded]
    known: tuple[int, ...]
    language: int
    languages: list[int] = field(default_factory=list)
    asked: list[tuple[PositionSpan, ...]] = field(default_factory=list)
    inner: FakeSpeechModel = field(default_factory=lambda: FakeSpeechModel(n_slots=N_SLOTS))
    frames: list[int] = field(default_factory=list)
    states: list[DecodingState] = field(default_factory=list)
    on_prefill: Callable[[], None] = lambda: None

    def encode(
        self, windows: Mapping[int, torch.Tensor], *, spans: Mapping[int, Many[PositionSpan]]
    ) -> dict[int, list[LanguageScores]]:
        self.frames += [window.shape[1] for window in windows.values()]
        self.asked += [tuple(spans[slot]) for slot in sorted(spans)]
        return {slot: [self._next_scores() for _ in spans[slot]] for slot in sorted(spans)}

    def prefill(self, states: Mapping[int, DecodingState]) -> None:
        self.on_prefill()
        for slot in sorted(states):
            state, results = states[slot], self.script.pop(0)
            self.states.append(state)
            self.inner.encode({slot: results.tokens})
            self.inner.prefill({slot: state})
            state.no_speech_prob = results.no_speech_prob
            # The fake gives each of the tokens and eot -1.
            state.logprobs[0] += (results.avg_logprob + 1) * (len(results.tokens) + 1)

    def decode_step(self, states: Mapping[int, DecodingState]) -> None:
        self.inner.decode_step(states)

    def free(self, slot: int) -> None:
        self.inner.free(slot)

    def _next_scores(self) -> LanguageScores:
        language = self.languages.pop(0) if self.languages else self.language
        return scores_for(language, languages=self.known)


class Feed:
    """Delivers chunks as a preparation does: up to max_ahead, and one more for each release.

    ramps_up: one at first; each release, and each `allow_another`, allows one more at a time.
    """

    def __init__(
        self, chunks: Iterable[Chunk], *, max_ahead: int, deliver: Deliver, ramps_up: bool = False
    ) -> None:
        self._chunks = iter(chunks)
        self._deliver = deliver
        self._has_ended = False
        self._n_withheld = max_ahead - 1
        self._deliver_next()
        while self._n_withheld and not ramps_up:
            self.allow_another()

    def allow_another(self) -> None:
        if self._n_withheld:
            self._n_withheld -= 1
            self._deliver_next()

    def release(self) -> None:
        self._deliver_next()
        self.allow_another()

    def _deliver_next(self) -> None:
        if self._has_ended:
            return
        try:
            self._deliver(prepare(next(self._chunks)))
        except (StopIteration, AsrError) as exc:
            self._has_ended = True
            self._deliver(PreparationEnd(duration_s=0.0, error=exc if isinstance(exc, AsrError) else None))


class Scene:
    """One request, with an engine of its own."""

    def __init__(self, tokenizer: WhisperTokenizer) -> None:
        self._tokenizer = tokenizer
        self.model = ScriptedModel(
            [], known=tuple(tokenizer.language_tokens.values()), language=tokenizer.language_tokens["de"]
        )
        self.engine = Engine(self.model, slots=N_SLOTS)
        self.request = Request()

    def long_form(self, options: TranscriptionOptions, *, max_ahead: int = 16) -> LongForm:
        return LongForm(
            self.engine,
            options,
            vocabulary=Vocabulary(self._tokenizer, is_multilingual=True),
            max_ahead=max_ahead,
            request=self.request,
        )

    def feed(
        self, long_form: LongForm, chunks: Iterable[Chunk], *, max_ahead: int = 16, ramps_up: bool = False
    ) -> Iterator[Segment]:
        return long_form.run(lambda deliver: Feed(chunks, max_ahead=max_ahead, deliver=deliver, ramps_up=ramps_up))

    def segments(
        self, chunks: Iterable[Chunk], options: TranscriptionOptions = ENGLISH, *, max_ahead: int = 16
    ) -> Iterator[Segment]:
        """Run the long form over chunks; the model follows its script."""
        return self.feed(self.long_form(options, max_ahead=max_ahead), chunks, max_ahead=max_ahead)

    def run(self, chunks: list[Chunk], *script: Decoded, options: TranscriptionOptions = ENGLISH) -> list[Segment]:
        self.model.script = list(script)
        result = list(self.segments(chunks, options))
        assert self.model.script == [], "the script has more windows than were decoded"
        return result


def prepare(chunk: Chunk) -> PreparedChunk:
    return PreparedChunk(
        offset_s=chunk.offset_s,
        duration_s=len(chunk.waveform) / SAMPLE_RATE,
        speech=chunk.speech,
        spectrogram=ChunkSpectrogram(chunk.waveform, n_mels=80, encoder_padding_s=PADDING_S),
    )


def chunk(
    seconds: float, *, offset_s: float = 0.0, speech: tuple[tuple[float, float], ...] | None = None
) -> Chunk:
    """Return a chunk in which somebody speaks for the first few seconds, or at the times given."""
    spans = ((0.0, min(seconds, 4.0)),) if speech is None else speech
    return Chunk(
        waveform=np.zeros(round(seconds * SAMPLE_RATE), np.float32),
        offset_s=offset_s,
        speech=tuple(SpeechSpan(start_s=start, end_s=end) for start, end in spans),
    )


def words(n: int) -> tuple[int, ...]:
    """Return `n` tokens whose text does not repeat itself."""
    return tuple(range(1_000, 1_000 + 7 * n, 7))


def comparable(result: list[Segment]) -> list[tuple[float, float, tuple[int, ...]]]:
    """Return start, end and text tokens."""
    return [
        (round(timed.start, 3), round(timed.end, 3), tuple(token for token in timed.tokens if token < BEGIN))
        for timed in result
    ]
