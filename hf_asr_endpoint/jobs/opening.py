"""Opens the places where jobs are kept: a server's own folder, or a database and a storage that several share."""

from __future__ import annotations

from pathlib import Path

from hf_asr_endpoint.errors import InvalidSettings
from hf_asr_endpoint.jobs.data_directory import open_data_directory
from hf_asr_endpoint.jobs.spool import Spool, folder_of
from hf_asr_endpoint.jobs.sqlite import open_sqlite
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.jobs.table import JobTable


def open_own_store(path: Path) -> JobStore:
    """Open the folder and recover the jobs that the last server left there. Raises StorageFailed."""
    directory = open_data_directory(path)
    try:
        # The database first: a broken one is moved away together with the audio files that the spool would use.
        table = JobTable(open_sqlite(path))
        store = JobStore(table, Spool(path), directory)
        store.recover()
        return store
    except BaseException:
        directory.close()
        raise


def open_shared_store(database: str, storage: str) -> JobStore:
    """Open the store of several servers. database: a URL. storage: a URL or a path.

    Raises InvalidSettings, also without the extra `shared-jobs`, and StorageFailed.
    """
    try:
        from hf_asr_endpoint.jobs.bucket import Bucket
        from hf_asr_endpoint.jobs.postgres import open_postgres
    except ImportError as exc:
        raise InvalidSettings(
            f"HF_ASR_JOBS_DATABASE needs packages that are not installed ({exc}); "
            "allowed: with hf-asr-endpoint[shared-jobs]"
        ) from exc
    jobs = open_postgres(database)
    try:
        folder = folder_of(jobs.table_id)
        audio = Bucket(storage, folder) if "://" in storage else Spool(Path(storage), folder)
        return JobStore(JobTable(jobs), audio)
    except BaseException:
        jobs.close()
        raise
