"""A batching transcriber over real weights, whose model tests can watch."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from torch import Tensor

from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.model import SpeechModel
from hf_asr_endpoint.transcription.batching import BatchingTranscriber
from hf_asr_endpoint.transcription.preparation import BeginPreparations
from hf_asr_endpoint.transcription.preparation_workers import PreparationWorkers
from hf_asr_endpoint.types import ModelInfo, Transcription, TranscriptionOptions, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan
from tests.conftest import DATA
from tests.fakes import DEADLINE_S

N_SLOTS = 8
PADDING_S = 6.0
MAX_WAITING_AUDIO_S = 1000.0
GREEDY = TranscriptionOptions(decoding=DecodingOptions.from_flat(temperatures=(0.0,)))
SPOKEN = "ask not what your country can do for you"

Loaded = tuple[SpeechModel, WhisperTokenizer, ModelInfo]


class WatchedModel:
    """A SpeechModel that counts, and that fails or waits when a test wants it to."""

    is_encoding = False

    def __init__(self, model: SpeechModel) -> None:
        self._model = model
        self.failure: BaseException | None = None
        self.n_windows = 0
        self.n_frames: list[int] = []  # of each window
        self.n_attempts = 0
        self.n_detections = 0  # windows whose languages were asked for
        self.n_steps = 0
        self.busy: set[int] = set()
        self.is_stepping = threading.Event()
        self.may_step = threading.Event()
        self.may_step.set()

    def encode(
        self, windows: Mapping[int, Tensor], *, spans: Mapping[int, Sequence[PositionSpan]]
    ) -> Mapping[int, Sequence[LanguageScores]]:
        self.n_windows += len(windows)
        self.n_frames += [window.shape[1] for window in windows.values()]
        self.n_detections += len(spans)
        self.busy |= windows.keys()
        return self._model.encode(windows, spans=spans)

    def prefill(self, states: dict[int, DecodingState]) -> None:
        self.n_attempts += len(states)
        self._model.prefill(states)

    def decode_step(self, states: dict[int, object]) -> None:
        self.n_steps += 1
        self.is_stepping.set()
        assert self.may_step.wait(DEADLINE_S)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self._model.decode_step(states)

    def free(self, slot: int) -> None:
        self.busy.discard(slot)
        self._model.free(slot)


def running(
    model: SpeechModel,
    loaded: Loaded,
    *,
    max_step_s: float = math.inf,
    max_wait_s: float = math.inf,
    prepare: BeginPreparations = PreparationWorkers,
) -> Iterator[BatchingTranscriber]:
    _, tokenizer, info = loaded
    transcriber = BatchingTranscriber(
        Engine(model, slots=N_SLOTS),
        tokenizer,
        info,
        max_requests=8,
        max_ahead=2 * N_SLOTS,
        encoder_padding_s=PADDING_S,
        max_beams=N_SLOTS,
        max_waiting_audio_s=MAX_WAITING_AUDIO_S,
        max_step_s=max_step_s,
        max_wait_s=max_wait_s,
        prepare=prepare,
    )
    yield transcriber
    transcriber.close()


class Blocks:
    """A WaveformReader over blocks in memory. declared_s: the length that the audio says it has, in seconds."""

    def __init__(self, blocks: Iterable[Waveform], *, declared_s: float | None = None) -> None:
        self._blocks = blocks
        self.declared_s = declared_s
        self.is_closed = threading.Event()

    def __iter__(self) -> Iterator[Waveform]:
        return iter(self._blocks)

    def close(self) -> None:
        self.is_closed.set()


async def transcribe(
    transcriber: BatchingTranscriber, waveform: Iterable[Waveform], options: TranscriptionOptions = GREEDY
) -> Transcription:
    async with asyncio.timeout(2 * DEADLINE_S):
        return await transcriber.transcribe(Blocks(waveform), options)


def run_transcribe(
    transcriber: BatchingTranscriber, waveform: Iterable[Waveform], options: TranscriptionOptions = GREEDY
) -> Transcription:
    return asyncio.run(transcribe(transcriber, waveform, options))


def comparable(result: Transcription) -> list[tuple[float, float, str, tuple[int, ...]]]:
    """Return what must not depend on who else is there; log-probabilities may, in their last digits."""
    return [(segment.start, segment.end, segment.text, segment.tokens) for segment in result.segments]


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


def pause(seconds: float) -> Waveform:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def read(name: str) -> list[Waveform]:
    with (DATA / name).open("rb") as file:
        return list(decode_audio(file))
