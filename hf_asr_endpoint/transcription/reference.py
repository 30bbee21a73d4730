"""The reference engine: transformers' own `generate`, one recording at a time.

Slow and right. Long recordings go through Whisper's sequential algorithm (a window at a time, the next
one beginning where the last timestamp says) with temperature fallback.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from hf_asr_endpoint.audio.mel import LogMelSpectrogram
from hf_asr_endpoint.transcription.fallback import compression_ratio
from hf_asr_endpoint.transcription.generate_arguments import generate_arguments
from hf_asr_endpoint.transcription.model_limits import check_language_and_task
from hf_asr_endpoint.transcription.segments import SegmentBuilder, TimedTokens
from hf_asr_endpoint.transcription.threads import SHUTTING_DOWN, Stop, run_in_thread
from hf_asr_endpoint.types import (
    DecodedWindow,
    Health,
    Segment,
    Task,
    Transcription,
    TranscriptionOptions,
    Waveform,
)
from hf_asr_endpoint.units import N_FRAMES, N_SAMPLES, SAMPLE_RATE
from hf_asr_endpoint.whisper.checkpoint import WhisperCheckpoint
from hf_asr_endpoint.whisper.cores import use_all_cores

N_FEATURE_THREADS = 2  # recordings being decoded and analysed beside the one being transcribed
MIN_DURATION_S = 0.1  # shorter than any word: not decoded at all


class ReferenceTranscriber:
    """A Transcriber over transformers' `generate`, which is not safe for threads: one thread runs it."""

    def __init__(self, checkpoint: WhisperCheckpoint) -> None:
        self._checkpoint = checkpoint
        self._closed = threading.Event()
        self._feature_threads = ThreadPoolExecutor(N_FEATURE_THREADS, "features")
        self._generate_thread = ThreadPoolExecutor(1, "generate", initializer=use_all_cores)

    async def stream(
        self, waveform: Iterable[Waveform], options: TranscriptionOptions
    ) -> AsyncGenerator[Segment | Transcription]:
        checkpoint = self._checkpoint
        check_language_and_task(checkpoint.tokenizer, options, is_multilingual=checkpoint.is_multilingual)
        stop = Stop(self._closed)
        recording = await run_in_thread(
            self._feature_threads, lambda: _analyse(waveform, n_mels=self._checkpoint.n_mels, stop=stop), stop
        )
        transcription = await run_in_thread(
            self._generate_thread, lambda: _transcribe(self._checkpoint, recording, options, stop=stop), stop
        )
        for segment in transcription.segments:
            yield segment
        yield transcription

    def health(self) -> Health:
        if self._closed.is_set():
            return Health(state="failed", detail=SHUTTING_DOWN)
        return Health(state="ready", model=self._checkpoint.info)

    def close(self) -> None:
        self._closed.set()
        self._feature_threads.shutdown(cancel_futures=True)
        self._generate_thread.shutdown(cancel_futures=True)


class _StopGenerating(StoppingCriteria):
    """Leaves `generate` between two tokens."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        self._stop.check()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recording:
    """mel: shape = (n_mels, n_frames), of at least one window; the audio itself lasts `duration_s`."""

    mel: torch.Tensor
    duration_s: float


def _analyse(waveform: Iterable[Waveform], *, n_mels: int, stop: Stop) -> _Recording:
    spectrogram = LogMelSpectrogram(n_mels)
    for block in waveform:
        stop.check()
        spectrogram.push(block)
    duration_s = spectrogram.n_samples / SAMPLE_RATE
    if spectrogram.n_samples < N_SAMPLES:
        spectrogram.push(np.zeros(N_SAMPLES - spectrogram.n_samples, np.float32))
    return _Recording(mel=spectrogram.finish(), duration_s=duration_s)


@torch.inference_mode()
def _transcribe(
    checkpoint: WhisperCheckpoint, recording: _Recording, options: TranscriptionOptions, *, stop: Stop
) -> Transcription:
    stop.check()
    model = checkpoint.model
    features = recording.mel[None].to(model.device, model.dtype)  # (1, n_mels, n_frames)
    language = options.language or _detect_language(checkpoint, features)
    timed_tokens: list[TimedTokens] = []
    if recording.duration_s >= MIN_DURATION_S:
        torch.manual_seed(options.decoding.seed)
        timed_tokens = _generate(
            checkpoint, features, language=language, task=options.task, options=options, stop=stop
        )
    return Transcription(
        task=options.task,
        language=language,
        duration_s=recording.duration_s,
        segments=_segments(
            timed_tokens, options, duration_s=recording.duration_s, decode=checkpoint.tokenizer.decode
        ),
    )


def _segments(
    timed_tokens: Iterable[TimedTokens],
    options: TranscriptionOptions,
    *,
    duration_s: float,
    decode: Callable[[Sequence[int]], str],
) -> tuple[Segment, ...]:
    """Return segments that know little of their windows, of which `generate` does not tell."""
    builder = SegmentBuilder(begin_s=0.0, end_s=duration_s, decode=decode)
    built = (
        builder.build(
            timed,
            DecodedWindow(
                start=timed.start,
                temperature=options.decoding.temperatures[0],
                avg_logprob=0.0,
                compression_ratio=compression_ratio(decode(timed.tokens)),
                no_speech_prob=0.0,
            ),
        )
        for timed in timed_tokens
    )
    return tuple(segment for segment in built if segment is not None)


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
    stop: Stop,
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
        stopping_criteria=StoppingCriteriaList([_StopGenerating(stop)]),
        **prompt,
        **generate_arguments(options.decoding, n_prompt_tokens=n_prompt_tokens),
    )
    return [
        TimedTokens(
            start=float(segment["start"]), end=float(segment["end"]), tokens=tuple(segment["tokens"].tolist())
        )
        for segment in output["segments"][0]
    ]
