"""A server of jobs in a process of its own, with a fake Transcriber, for tests that kill it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.types import ANYBODY, Caller, Transcription, TranscriptionOptions
from tests.fakes import FakeTranscriber
from tests.jobs.place import Place
from tests.jobs.running import running_jobs

WORK_S = 0.1
MAX_RUNNING = 3


@dataclass(frozen=True, slots=True)
class RunLog:
    """A file with a line for each run that has begun: the owner of its job."""

    path: Path

    def add(self, owner: str) -> None:
        line = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(line, f"{owner}\n".encode())
        os.close(line)

    def owners(self) -> list[str]:
        return self.path.read_text().split()


class SlowTranscriber(FakeTranscriber):
    """Takes WORK_S, and logs each of its runs."""

    def __init__(self, runs: RunLog) -> None:
        super().__init__()
        self._runs = runs

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        self._runs.add(caller.owner or "")
        await asyncio.sleep(WORK_S)
        return await super().transcribe(reader, options, caller)


def serve(place: Place, runs: RunLog, lease_s: float) -> None:
    """Run jobs until the process is killed."""

    async def work() -> None:
        limits = {"max_running": MAX_RUNNING, "max_crashes": 50, "lease_s": lease_s, "max_queued": 1000}
        async with running_jobs(place, SlowTranscriber(runs), **limits):
            await asyncio.Event().wait()

    asyncio.run(work())
