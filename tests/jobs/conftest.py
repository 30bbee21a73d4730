"""Places for jobs, in each kind of database, and a clock that the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from hf_asr_endpoint.jobs.job import Fields, JobSpec
from hf_asr_endpoint.jobs.table import JobTable
from tests.jobs.place import Place
from tests.jobs.postgres import find_programs, run_postgres

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Return the URL of a PostgreSQL database."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian's package `postgresql`)")
    with run_postgres(programs) as url:
        yield url


@pytest.fixture
def shared_place(tmp_path: Path, postgres: str) -> Place:
    """A place for several servers, without jobs."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS jobs")
    return Place(tmp_path, database_url=postgres)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return Place(tmp_path)
    shared: Place = request.getfixturevalue("shared_place")
    return shared


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(place: Place, clock: Clock) -> Iterator[JobTable]:
    table = JobTable(place.open_database(), now=clock)
    yield table
    table.close()
