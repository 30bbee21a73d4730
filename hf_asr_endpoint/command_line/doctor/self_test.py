"""Transcribes two seconds of real speech: alone, and then one in each slot at a time, for about a second."""

from __future__ import annotations

import asyncio
import io
import math
import time
from dataclasses import dataclass
from pathlib import Path

from hf_asr_endpoint.audio.source import EncodedAudio, open_waveform
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Transcription, TranscriptionOptions

AUDIO = Path(__file__).with_name("self_test.ogg")
SPOKEN = "fellow americans"
"""In the recording; every Whisper model gets it right."""

MIN_MEASURED_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """text: of the recording, of `audio_s` seconds. latency_s: of it alone. speed: × real time, of many."""

    text: str
    audio_s: float
    latency_s: float
    speed: float

    @property
    def is_right(self) -> bool:
        return SPOKEN in self.text.lower()


async def run_self_test(transcriber: Transcriber, *, slots: int, language: str | None) -> SelfTest:
    """Return what came of it. language: None for a model that has no choice of them. Raises AsrError."""
    audio = AUDIO.read_bytes()

    async def transcribe() -> Transcription:
        reader = open_waveform(EncodedAudio(file=io.BytesIO(audio)), max_audio_s=math.inf)
        return await transcriber.transcribe(reader, TranscriptionOptions(language=language))

    await transcribe()  # The first one loads what the others share.
    started_s = time.perf_counter()
    alone = await transcribe()
    latency_s = time.perf_counter() - started_s
    started_s, n_done = time.perf_counter(), 0
    while (elapsed_s := time.perf_counter() - started_s) < MIN_MEASURED_S:
        await asyncio.gather(*(transcribe() for _ in range(slots)))
        n_done += slots
    return SelfTest(
        text=alone.text,
        audio_s=alone.duration_s,
        latency_s=latency_s,
        speed=n_done * alone.duration_s / elapsed_s,
    )
