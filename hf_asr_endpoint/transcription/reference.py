"""The reference engine: transformers' own `generate`, one recording at a time.

Slow and right. Long recordings go through Whisper's sequential algorithm (a window at a time, the next
one beginning where the last timestamp says) with temperature fallback.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from hf_asr_endpoint.audio.mel import LogMelSpectrogram
from hf_asr_endpoint.errors import AsrError, EngineError, EngineUnavailable, InvalidParameter
from hf_asr_endpoint.transcription.generate_arguments import generate_arguments
from hf_asr_endpoint.transcription.segments import TimedTokens, build_segments
from hf_asr_endpoint.types import Health, Task, Transcription, TranscriptionOptions, Waveform
from hf_asr_endpoint.units import N_FRAMES, N_SAMPLES, SAMPLE_RATE
from hf_asr_endpoint.whisper.checkpoint import WhisperCheckpoint

N_FEATURE_THREADS = 2  # recordings being decoded and analysed beside the one being transcribed
MIN_DURATION_S = 0.1  # shorter than any word: not decoded at all
SEED = 0  # of every request's sampling, so that equal requests have equal answers

SHUTTING_DOWN = "the server is shutting down"

T = TypeVar("T")


class ReferenceTranscriber:
    """A Transcriber over transformers' `generate`, which is not safe for threads: one thread runs it."""

    def __init__(self, checkpoint: WhisperCheckpoint) -> None:
        self._checkpoint = checkpoint
        self._closed = threading.Event()
        self._feature_threads = ThreadPoolExecutor(N_FEATURE_THREADS, "features")
        self._generate_thread = ThreadPoolExecutor(1, "generate")

    async def transcribe(self, waveform: Iterable[Waveform], options: TranscriptionOptions) -> Transcription:
        _check_language_and_task(self._checkpoint, options)
        stop = _Stop(self._closed)
        recording = await self._run(
            self._feature_threads, lambda: _analyse(waveform, n_mels=self._checkpoint.n_mels, stop=stop), stop
        )
        return await self._run(
            self._generate_thread, lambda: _transcribe(self._checkpoint, recording, options, stop=stop), stop
        )

    def health(self) -> Health:
        if self._closed.is_set():
            return Health(state="failed", detail=SHUTTING_DOWN)
        return Health(state="ready", model=self._checkpoint.info)

    def close(self) -> None:
        self._closed.set()
        self._feature_threads.shutdown(cancel_futures=True)
        self._generate_thread.shutdown(cancel_futures=True)

    async def _run(self, executor: Executor, work: Callable[[], T], stop: _Stop) -> T:
        """Run `work` in a thread and do not leave before it has ended, whether by itself or by `stop`.

        Whatever goes wrong there leaves as an error of our tree.
        """
        if self._closed.is_set():
            raise EngineUnavailable(SHUTTING_DOWN)
        try:
            future = executor.submit(work)
        except RuntimeError as exc:
            raise EngineUnavailable(SHUTTING_DOWN) from exc  # `close` came in between.
        awaitable = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(awaitable)
        except asyncio.CancelledError:
            if awaitable.cancelled():
                raise EngineUnavailable(SHUTTING_DOWN) from None  # `close` threw it out of the queue.
            stop.cancelled.set()
            future.cancel()
            while not awaitable.done():  # Whoever cancels again waits for the thread all the same.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([awaitable])
            if not awaitable.cancelled():
                awaitable.exception()  # Looked at, so that asyncio does not log it.
            raise
        except AsrError:
            raise
        except Exception as exc:  # transformers and torch raise anything; one request fails, not the engine.
            raise EngineError(f"the model failed: {type(exc).__name__}: {exc}") from exc


class _Stop(StoppingCriteria):
    """Leaves a worker thread, between two blocks or two tokens, when nobody waits for its result any more."""

    def __init__(self, closed: threading.Event) -> None:
        self.cancelled = threading.Event()
        self._closed = closed

    def check(self) -> None:
        if self._closed.is_set():
            raise EngineUnavailable(SHUTTING_DOWN)
        if self.cancelled.is_set():
            raise EngineUnavailable("the request was cancelled")

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        self.check()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recording:
    """mel: shape = (n_mels, n_frames), of at least one window; the audio itself lasts `duration_s`."""

    mel: torch.Tensor
    duration_s: float


def _analyse(waveform: Iterable[Waveform], *, n_mels: int, stop: _Stop) -> _Recording:
    spectrogram = LogMelSpectrogram(n_mels)
    for block in waveform:
        stop.check()
        spectrogram.push(block)
    duration_s = spectrogram.n_samples / SAMPLE_RATE
    if spectrogram.n_samples < N_SAMPLES:
        spectrogram.push(np.zeros(N_SAMPLES - spectrogram.n_samples, np.float32))
    return _Recording(mel=spectrogram.finish(), duration_s=duration_s)


def _check_language_and_task(checkpoint: WhisperCheckpoint, options: TranscriptionOptions) -> None:
    if not checkpoint.is_multilingual:
        if options.task != "transcribe":
            raise InvalidParameter(
                f"task is {options.task!r}, but the model is English-only; allowed: 'transcribe'"
            )
        if options.language not in (None, "en"):
            raise InvalidParameter(
                f"language is {options.language!r}, but the model is English-only; allowed: 'en'"
            )
    elif options.language is not None and options.language not in checkpoint.tokenizer.language_tokens:
        raise InvalidParameter(
            f"language is {options.language!r}, which the model was not trained on; "
            f"allowed: {', '.join(sorted(checkpoint.tokenizer.language_tokens))}"
        )


@torch.inference_mode()
def _transcribe(
    checkpoint: WhisperCheckpoint, recording: _Recording, options: TranscriptionOptions, *, stop: _Stop
) -> Transcription:
    stop.check()
    model = checkpoint.model
    features = recording.mel[None].to(model.device, model.dtype)  # (1, n_mels, n_frames)
    language = options.language or _detect_language(checkpoint, features)
    timed_tokens: list[TimedTokens] = []
    if recording.duration_s >= MIN_DURATION_S:
        torch.manual_seed(SEED)
        timed_tokens = _generate(
            checkpoint, features, language=language, task=options.task, options=options, stop=stop
        )
    return Transcription(
        task=options.task,
        language=language,
        duration_s=recording.duration_s,
        segments=build_segments(timed_tokens, duration_s=recording.duration_s, decode=checkpoint.tokenizer.decode),
    )


def _detect_language(checkpoint: WhisperCheckpoint, features: torch.Tensor) -> str:
    """Return the language of the first window."""
    if not checkpoint.is_multilingual:
        return "en"
    detected = checkpoint.model.detect_language(input_features=features[:, :, :N_FRAMES]).item()
    return next(code for code, token in checkpoint.tokenizer.language_tokens.items() if token == detected)


def _generate(
    checkpoint: WhisperCheckpoint,
    features: torch.Tensor,
    *,
    language: str,
    task: Task,
    options: TranscriptionOptions,
    stop: _Stop,
) -> list[TimedTokens]:
    n_prompt_tokens = 1  # sot; timestamps are on, so there is no token that turns them off
    prompt: dict[str, Any] = {}
    if checkpoint.is_multilingual:
        n_prompt_tokens, prompt = 3, {"language": language, "task": task}
    output = checkpoint.model.generate(
        features,
        return_timestamps=True,
        return_segments=True,
        condition_on_prev_tokens=False,
        stopping_criteria=StoppingCriteriaList([stop]),
        **prompt,
        **generate_arguments(options.decoding, n_prompt_tokens=n_prompt_tokens),
    )
    return [
        TimedTokens(
            start=float(segment["start"]), end=float(segment["end"]), tokens=tuple(segment["tokens"].tolist())
        )
        for segment in output["segments"][0]
    ]
