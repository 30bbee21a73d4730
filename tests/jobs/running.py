"""Running jobs in a temporary directory, with a fake Transcriber and a plain JobKind."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.jobs.addresses import AddressGuard, parse_allowed_hosts
from hf_asr_endpoint.jobs.delivery import RetrySchedule
from hf_asr_endpoint.jobs.job import DeliveryStatus, Job, JobKind, JobLimits, JobSpec, ParsedJob
from hf_asr_endpoint.jobs.jobs import Jobs
from hf_asr_endpoint.jobs.resolver import SystemResolver
from hf_asr_endpoint.jobs.webhook import WebhookSender
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import TranscriptionOptions
from tests.jobs.place import Place

POLL_INTERVAL_S = 0.005
DEADLINE_S = 60.0
ANSWER_TIMEOUT_S = 60.0  # of receivers: one that does not answer does so for a whole test.
QUICK = RetrySchedule(retry_for_s=60.0, first_delay_s=0.02, max_delay_s=0.05)


class PlainKind:
    """A JobKind whose only field is `language`. n_parsed: how often it has parsed a spec."""

    def __init__(self) -> None:
        self.n_parsed = 0

    def parse(self, spec: JobSpec) -> ParsedJob:
        self.n_parsed += 1
        language = dict(spec.fields).get("language")
        if language == "xx":
            raise InvalidParameter("language is 'xx'", parameter="language")
        return ParsedJob(
            options=TranscriptionOptions(task=spec.task, language=language),
            render=lambda transcription: {
                "results": {"text": transcription.text, "language": transcription.language}
            },
        )

    def render_failure(self, message: str) -> dict[str, Any]:
        return {"error": message}


def plain_job(*, webhook: str | None = None, kind: str = "plain", **fields: str) -> JobSpec:
    return JobSpec(
        kind=kind, task="transcribe", model="whisper-base", fields=tuple(fields.items()), webhook=webhook
    )


def make_audio(n_samples: int = 16_000) -> io.BytesIO:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(n_samples, np.float32), 16_000, format="WAV", subtype="PCM_16")
    file.seek(0)
    return file


def audio_files(directory: Path) -> list[str]:
    return Place(directory).audio_files()


def make_jobs(
    place: Place | Path,
    transcriber: Transcriber,
    *,
    schedule: RetrySchedule = QUICK,
    kinds: Mapping[str, JobKind] | None = None,
    on_audio: Callable[[str | None, float], None] = lambda owner, audio_s: None,
    **limits: float,
) -> Jobs:
    """place: a folder holds a SQLite file. limits: some fields of JobLimits."""
    values: dict[str, Any] = {
        "max_queued": 10,
        "max_running": 2,
        "max_audio_s": 30.0,
        "retention_s": 60.0,
        "max_crashes": 5,
        "lease_s": 20.0,
    }
    guard = AddressGuard(parse_allowed_hosts(["127.0.0.1"]), SystemResolver())
    return Jobs(
        (Place(place) if isinstance(place, Path) else place).open_store(),
        transcriber,
        kinds=kinds or {"plain": PlainKind()},
        limits=JobLimits(**{**values, **limits}),
        guard=guard,
        sender=WebhookSender(guard, timeout_s=ANSWER_TIMEOUT_S, secret=None),
        schedule=schedule,
        on_audio=on_audio,
    )


@asynccontextmanager
async def running_jobs(
    place: Place | Path,
    transcriber: Transcriber,
    *,
    schedule: RetrySchedule = QUICK,
    kinds: Mapping[str, JobKind] | None = None,
    **limits: float,
) -> AsyncIterator[Jobs]:
    """Start jobs, and close them at the end."""
    jobs = make_jobs(place, transcriber, schedule=schedule, kinds=kinds, **limits)
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.close()


def resolver_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "resolver"]


async def wait_until_final(jobs: Jobs, job_id: str) -> Job:
    while not (job := await jobs.find(job_id)).status.is_final:
        await asyncio.sleep(POLL_INTERVAL_S)
    return job


async def wait_until_delivered(jobs: Jobs, job_id: str) -> Job:
    """Wait until the job and its delivery have ended, also without success."""
    while (job := await wait_until_final(jobs, job_id)).delivery.status is DeliveryStatus.PENDING:
        await asyncio.sleep(POLL_INTERVAL_S)
    return job


async def run_job(jobs: Jobs, **fields: str) -> Job:
    """Submit a job and return it when it has ended."""
    return await wait_until_final(jobs, (await jobs.submit(plain_job(**fields), make_audio())).id)


async def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(POLL_INTERVAL_S)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, DEADLINE_S))
