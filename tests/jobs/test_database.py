from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.database import FILE, VERSION, Database, open_database
from hf_asr_endpoint.jobs.spool import FOLDER
from hf_asr_endpoint.jobs.store import JobStore
from tests.jobs.conftest import make_request

PAGE_BYTES = 4096


def write_jobs(directory: Path, n_jobs: int) -> None:
    store = JobStore(open_database(directory))
    for index in range(n_jobs):
        store.add(str(index), make_request(), max_queued=n_jobs)
    store.close()


def test_commits_wait_for_the_disk(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    assert database.query("PRAGMA synchronous")[0][0] == 2  # FULL
    assert database.query("PRAGMA journal_mode")[0][0] == "wal"
    database.close()


@pytest.mark.parametrize("damage", ["no database", "overwritten page", "cut off"])
def test_a_broken_file_is_set_aside_with_its_audio(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_jobs(tmp_path, 200)
    content = (tmp_path / FILE).read_bytes()
    assert len(content) > 4 * PAGE_BYTES
    broken = {
        "no database": b"x" * len(content),
        "overwritten page": content[:PAGE_BYTES] + b"\xff" * PAGE_BYTES + content[2 * PAGE_BYTES :],
        "cut off": content[: len(content) // 2],
    }[damage]
    (tmp_path / FILE).write_bytes(broken)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "1").write_bytes(b"audio")
    store = JobStore(open_database(tmp_path))
    assert store.count_queued() == 0
    store.add("new", make_request(), max_queued=1)
    store.close()
    (kept,) = tmp_path.glob(f"{FILE}.broken-*")
    assert kept.read_bytes() == broken
    (audio,) = tmp_path.glob(f"{FOLDER}.broken-*")
    assert (audio / "1").read_bytes() == b"audio"
    assert kept.name in caplog.text


def test_a_sound_file_is_not_set_aside(tmp_path: Path) -> None:
    write_jobs(tmp_path, 20)
    store = JobStore(open_database(tmp_path))
    assert store.count_queued() == 20
    store.close()
    assert not list(tmp_path.glob("*.broken-*"))


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    write_jobs(tmp_path, 1)
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StorageFailed, match=f"has version {VERSION + 1}"):
        open_database(tmp_path)
    assert not list(tmp_path.glob("*.broken-*"))


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StorageFailed, match="unable to open"):
        open_database(tmp_path)


def insert_twice(database: Database, *, failure: Exception | None = None) -> None:
    insert = (
        "INSERT INTO jobs (id, kind, task, fields, status, created_at) VALUES ('a', '', '', '[]', 'queued', 0)"
    )
    with database.transaction() as connection:
        connection.execute(insert)
        if failure:
            raise failure
        connection.execute(insert)


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    with pytest.raises(StorageFailed, match="UNIQUE"):
        insert_twice(database)
    assert database.query("SELECT * FROM jobs") == []
    with pytest.raises(ZeroDivisionError):
        insert_twice(database, failure=ZeroDivisionError())
    assert database.query("SELECT * FROM jobs") == []
    database.close()


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    """SQLite's own limit of pages: it answers as for a disk without room."""
    database = open_database(tmp_path)
    store = JobStore(database)
    store.add("first", make_request(), max_queued=10_000)
    database.query("PRAGMA max_page_count = 12")
    n_jobs = 1
    with pytest.raises(StorageFailed, match="full"):  # noqa: PT012 # How many pages hold is not known before.
        while True:
            store.add(str(n_jobs), make_request(), max_queued=10_000)
            n_jobs += 1
    assert store.count_queued() == n_jobs
    assert store.start("first")
    store.close()
