"""Where the tests keep jobs: a folder with a SQLite file, or a PostgreSQL database and a folder for the audio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hf_asr_endpoint.jobs.data_directory import open_data_directory
from hf_asr_endpoint.jobs.database import Database
from hf_asr_endpoint.jobs.postgres import open_postgres
from hf_asr_endpoint.jobs.spool import FOLDER, Spool
from hf_asr_endpoint.jobs.sqlite import open_sqlite
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.jobs.table import JobTable


@dataclass(frozen=True, slots=True)
class Place:
    """database_url: of a PostgreSQL database, which several servers may share."""

    directory: Path
    database_url: str | None = None

    def open_database(self) -> Database:
        return open_postgres(self.database_url) if self.database_url else open_sqlite(self.directory)

    def open_store(self) -> JobStore:
        directory = None if self.database_url else open_data_directory(self.directory)
        store = JobStore(JobTable(self.open_database()), Spool(self.directory), directory)
        store.recover()
        return store

    def audio_files(self) -> list[str]:
        return [path.name for path in (self.directory / FOLDER).iterdir()]
