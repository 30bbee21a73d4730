"""A table of jobs in a temporary directory, and a clock that the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_asr_endpoint.jobs.database import open_database
from hf_asr_endpoint.jobs.job import Fields, JobSpec
from hf_asr_endpoint.jobs.table import JobTable

WEBHOOK = "https://receiver.example/hook"


class Clock:
    """A time that only the test changes."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


FIELDS: Fields = (("prompt", "Grüße\0"), ("prompt", ""))


def make_spec(*, webhook: str | None = WEBHOOK, kind: str = "plain", fields: Fields = FIELDS) -> JobSpec:
    return JobSpec(
        kind=kind, task="translate", model="whisper-base", version="abc", fields=fields, webhook=webhook
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(tmp_path: Path, clock: Clock) -> Iterator[JobTable]:
    table = JobTable(open_database(tmp_path), now=clock)
    yield table
    table.close()
