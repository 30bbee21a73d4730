"""Honest in-memory implementations of the seams."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

from hf_asr_endpoint.types import (
    Health,
    ModelInfo,
    Segment,
    Transcription,
    TranscriptionOptions,
    Waveform,
)
from hf_asr_endpoint.units import SAMPLE_RATE

POLL_INTERVAL_S = 0.002


class FakeTranscriber:
    """A Transcriber that hears the number of samples: its text is " 16000 samples".

    It remembers the options it was given. Between `hold` and `release` its work does not end.
    failure: raised instead of returning.
    """

    def __init__(self, *, health: Health | None = None, failure: Exception | None = None) -> None:
        self._health = health or Health(
            state="ready", model=ModelInfo(device="cpu", dtype="float32", is_multilingual=True, n_mels=80)
        )
        self._failure = failure
        self._released = threading.Event()
        self._released.set()
        self.options: list[TranscriptionOptions] = []
        self.n_running = 0
        self.n_cancelled = 0
        self.is_closed = False

    def hold(self) -> None:
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    async def transcribe(self, waveform: Iterable[Waveform], options: TranscriptionOptions) -> Transcription:
        self.options.append(options)
        n_samples = await asyncio.to_thread(lambda: sum(len(block) for block in waveform))
        self.n_running += 1
        try:
            while not self._released.is_set():
                await asyncio.sleep(POLL_INTERVAL_S)
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise
        finally:
            self.n_running -= 1
        if self._failure:
            raise self._failure
        duration_s = n_samples / SAMPLE_RATE
        segment = Segment(start=0.0, end=duration_s, text=f" {n_samples} samples", tokens=())
        return Transcription(
            task=options.task, language=options.language or "en", duration_s=duration_s, segments=(segment,)
        )

    def health(self) -> Health:
        return self._health

    def close(self) -> None:
        self.is_closed = True
