"""Where the tests keep jobs: a folder with a SQLite file, or a PostgreSQL database and a folder for the audio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hf_asr_endpoint.jobs.data_directory import open_data_directory
from hf_asr_endpoint.jobs.database import Database
from hf_asr_endpoint.jobs.postgres import PostgresDatabase, open_postgres
from hf_asr_endpoint.jobs.spool import FOLDER, Spool, folder_of
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
        database = self.open_database()
        if isinstance(database, PostgresDatabase):
            return JobStore(JobTable(database), Spool(self.directory, folder_of(database.table_id)))
        directory = open_data_directory(self.directory)
        store = JobStore(JobTable(database), Spool(self.directory), directory)
        store.recover()
        return store

    @property
    def audio_folder(self) -> Path:
        (folder,) = self.directory.glob(f"{FOLDER}*")
        return folder

    def audio_files(self) -> list[str]:
        return [path.name for path in self.audio_folder.iterdir()]
