"""A data directory, and what is kept in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_asr_endpoint.jobs.database import open_database
from hf_asr_endpoint.jobs.job import NewJob
from hf_asr_endpoint.jobs.store import JobStore

WEBHOOK = "https://receiver.example/hook"


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def make_request(*, webhook: str | None = WEBHOOK, kind: str = "plain") -> NewJob:
    return NewJob(kind=kind, task="translate", fields=(("prompt", "Grüße\0"), ("prompt", "")), webhook=webhook)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[JobStore]:
    store = JobStore(open_database(tmp_path), now=clock)
    yield store
    store.close()
