"""Jobs as the application has them, on a folder of the test's, with a Transcriber and a kind that are plain."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.jobs.addresses import parse_allowed_hosts
from hf_asr_endpoint.jobs.data_directory import open_data_directory
from hf_asr_endpoint.jobs.database import open_database
from hf_asr_endpoint.jobs.job import Job, JobKind, NewJob
from hf_asr_endpoint.jobs.jobs import Jobs
from hf_asr_endpoint.jobs.limits import JobLimits
from hf_asr_endpoint.jobs.schedule import RetrySchedule
from hf_asr_endpoint.jobs.sender import WebhookSender
from hf_asr_endpoint.jobs.spool import FOLDER, Spool
from hf_asr_endpoint.jobs.storage import Storage
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.jobs.webhook_url import AddressGuard
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Transcription, TranscriptionOptions

POLL_INTERVAL_S = 0.005
DEADLINE_S = 20.0
QUICK = RetrySchedule(retry_for_s=60.0, first_delay_s=0.02, longest_delay_s=0.05)


class PlainKind:
    """A JobKind whose only field is `language`."""

    def options(self, asked: NewJob) -> TranscriptionOptions:
        fields = dict(asked.fields)
        if fields.get("language") == "xx":
            raise InvalidParameter("language is 'xx'", parameter="language")
        return TranscriptionOptions(task=asked.task, language=fields.get("language"))

    def success(self, asked: NewJob, transcription: Transcription) -> dict[str, Any]:
        return {"results": {"text": transcription.text, "language": transcription.language}}

    def failure(self, asked: NewJob, message: str) -> dict[str, Any]:
        return {"error": message}


def plain_job(*, webhook: str | None = None, kind: str = "plain", **fields: str) -> NewJob:
    return NewJob(kind=kind, task="transcribe", fields=tuple(fields.items()), webhook=webhook)


def make_audio(n_samples: int = 16_000) -> io.BytesIO:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(n_samples, np.float32), 16_000, format="WAV", subtype="PCM_16")
    file.seek(0)
    return file


def audio_files(directory: Path) -> list[str]:
    return [path.name for path in (directory / FOLDER).iterdir()]


def make_jobs(
    directory: Path,
    transcriber: Transcriber,
    *,
    schedule: RetrySchedule = QUICK,
    kinds: Mapping[str, JobKind] | None = None,
    **limits: float,
) -> Jobs:
    """limits: some of JobLimits' fields."""
    values: dict[str, Any] = {
        "max_queued": 10,
        "max_running": 2,
        "max_audio_s": 30.0,
        "retention_s": 60.0,
        "max_crashes": 5,
    }
    opened = open_data_directory(directory)
    storage = Storage(opened, JobStore(open_database(directory)), Spool(directory))
    storage.recover()
    guard = AddressGuard(parse_allowed_hosts(["127.0.0.1"]))
    return Jobs(
        storage,
        transcriber,
        kinds=kinds or {"plain": PlainKind()},
        limits=JobLimits(**{**values, **limits}),
        guard=guard,
        sender=WebhookSender(guard, timeout_s=10.0, secret=None),
        schedule=schedule,
    )


@asynccontextmanager
async def running_jobs(
    directory: Path, transcriber: Transcriber, *, schedule: RetrySchedule = QUICK, **limits: float
) -> AsyncIterator[Jobs]:
    """Jobs from their start to their close."""
    jobs = make_jobs(directory, transcriber, schedule=schedule, **limits)
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.close()


async def ended(jobs: Jobs, job_id: str) -> Job:
    """Return a job when it is final."""
    while not (job := await jobs.find(job_id)).status.is_final:
        await asyncio.sleep(POLL_INTERVAL_S)
    return job


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(POLL_INTERVAL_S)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, DEADLINE_S))
