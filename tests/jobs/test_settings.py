"""Which settings make a server of its own jobs, or one that shares them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from hf_asr_endpoint.api.openai.job_kind import KIND
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.composition import open_jobs
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import InvalidSettings, StorageFailed
from hf_asr_endpoint.jobs.bucket import Bucket
from hf_asr_endpoint.jobs.job import JobStatus
from hf_asr_endpoint.jobs.jobs import Jobs
from hf_asr_endpoint.jobs.postgres import PostgresDatabase
from hf_asr_endpoint.jobs.spool import folder_of
from tests.fakes import FakeTranscriber
from tests.jobs.place import Place
from tests.jobs.running import make_audio, plain_job, run, wait_until, wait_until_final

MODELS = ServedModels([ServedModel(names=("whisper-base",), revision=None)])
UNUSED_URL = "postgresql://test@127.0.0.1:9/postgres"


def open_with(**settings: Any) -> Jobs:
    jobs = open_jobs(Settings(**settings), MODELS, FakeTranscriber(), None)
    assert isinstance(jobs, Jobs)
    return jobs


def table_id(shared_place: Place) -> str:
    database = shared_place.open_database()
    assert isinstance(database, PostgresDatabase)
    database.close()
    return database.table_id


def test_a_database_and_a_folder_make_a_shared_store(shared_place: Place) -> None:
    async def work() -> None:
        settings = {"jobs_database": shared_place.database_url, "jobs_storage": str(shared_place.directory)}
        first, second = open_with(**settings), open_with(**settings)
        job = await first.submit(plain_job(), make_audio())
        assert await second.find(job.id) == job
        assert shared_place.audio_files() == [job.id]
        await first.close()
        await second.close()

    run(work())


def test_audio_may_be_in_object_storage(shared_place: Place) -> None:
    async def work() -> None:
        url = f"memory://{uuid4().hex}/asr"
        jobs = open_with(jobs_database=shared_place.database_url, jobs_storage=url)
        job = await jobs.submit(plain_job(kind=KIND), make_audio())
        bucket = Bucket(url, folder_of(table_id(shared_place)))
        assert bucket.sizes().keys() == {job.id}
        await jobs.start()
        assert (await wait_until_final(jobs, job.id)).status is JobStatus.SUCCEEDED
        await wait_until(lambda: bucket.sizes() == {})
        await jobs.close()

    run(work())


@pytest.mark.parametrize("names", ["jobs_database", "jobs_storage", "jobs_database jobs_storage data_dir"])
def test_settings_that_do_not_go_together_are_refused(tmp_path: Path, names: str) -> None:
    values = {"jobs_database": UNUSED_URL, "jobs_storage": str(tmp_path), "data_dir": tmp_path}
    with pytest.raises(InvalidSettings, match=r"need HF_ASR_JOBS_DATABASE and --jobs-storage .* no --data-dir"):
        open_with(**{name: values[name] for name in names.split()})


def test_a_folder_that_is_not_there_is_refused(shared_place: Place) -> None:
    """A disk that is not mounted on one server would keep its audio from the others."""
    with pytest.raises(StorageFailed, match=r"No such file.*--jobs-storage"):
        open_with(jobs_database=shared_place.database_url, jobs_storage=str(shared_place.directory / "missing"))


def test_a_database_that_does_not_answer_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"cannot be used: .*refused"):
        open_with(jobs_database=UNUSED_URL, jobs_storage=str(tmp_path))


def test_another_database_than_postgresql_is_refused_without_its_password() -> None:
    with pytest.raises(ValueError, match="like postgresql://USER"):
        Settings(jobs_database=SecretStr("mysql://me:secret@host/name"))
    assert "me:secret" not in repr(Settings(jobs_database=SecretStr("postgresql://me:secret@host/name")))
