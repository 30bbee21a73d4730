from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs import sqlite
from hf_asr_endpoint.jobs.database import VERSION
from hf_asr_endpoint.jobs.spool import FOLDER
from hf_asr_endpoint.jobs.sqlite import FILE, SqliteDatabase, open_sqlite
from hf_asr_endpoint.jobs.table import JobTable
from tests.jobs.conftest import make_spec

PAGE_BYTES = 4096


def write_jobs(directory: Path, n_jobs: int) -> None:
    table = JobTable(open_sqlite(directory))
    for index in range(n_jobs):
        table.add(str(index), make_spec(), max_queued=n_jobs)
    table.close()


def test_commits_are_synced_to_disk(tmp_path: Path) -> None:
    opened = open_sqlite(tmp_path)
    assert opened.query("PRAGMA synchronous")[0][0] == 2  # FULL
    assert opened.query("PRAGMA journal_mode")[0][0] == "wal"
    opened.close()


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    """The directory may have existed before, readable for all, and transcriptions are private."""
    before = os.umask(0o022)
    try:
        table = JobTable(open_sqlite(tmp_path))
        table.add("1", make_spec(), max_queued=1)
        files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        table.close()
    finally:
        os.umask(before)
    assert files == dict.fromkeys((FILE, f"{FILE}-wal", f"{FILE}-shm"), 0o600)


@pytest.mark.parametrize("damage", ["not a database", "overwritten page", "truncated"])
def test_corrupt_file_is_set_aside_with_its_audio(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_jobs(tmp_path, 200)
    content = (tmp_path / FILE).read_bytes()
    assert len(content) > 4 * PAGE_BYTES
    broken = {
        "not a database": b"x" * len(content),
        "overwritten page": content[:PAGE_BYTES] + b"\xff" * PAGE_BYTES + content[2 * PAGE_BYTES :],
        "truncated": content[: len(content) // 2],
    }[damage]
    (tmp_path / FILE).write_bytes(broken)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "1").write_bytes(b"audio")
    table = JobTable(open_sqlite(tmp_path))
    assert table.count_queued() == 0
    table.add("new", make_spec(), max_queued=1)
    table.close()
    (kept,) = tmp_path.glob(f"{FILE}.broken-*")
    assert kept.read_bytes() == broken
    (audio,) = tmp_path.glob(f"{FOLDER}.broken-*")
    assert (audio / "1").read_bytes() == b"audio"
    assert kept.name in caplog.text


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("fields", b'[["prompt", "Gr\xfc\xdfe"]]'),
        ("fields", b'[["prompt", "Gruesse"'),
        ("fields", b'{"prompt": "Gruesse"}'),
        ("status", b"qteued"),
        ("delivery", b"qending"),
    ],
    ids=["not UTF-8", "not JSON", "wrong shape", "status", "delivery"],
)
def test_file_with_an_unreadable_job_is_set_aside(
    tmp_path: Path, column: str, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite has no checksums, so it does not notice a changed byte in a text. The worker failed to read the row
    every five seconds, and no later job ran."""
    write_jobs(tmp_path, 3)
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute(f"UPDATE jobs SET {column} = CAST(? AS TEXT) WHERE id = '1'", (value,))
    connection.commit()
    connection.close()
    table = JobTable(open_sqlite(tmp_path))
    assert table.count_queued() == 0
    table.close()
    assert list(tmp_path.glob(f"{FILE}.broken-*"))
    assert "Gr" not in caplog.text


def test_file_whose_schema_is_not_utf_8_is_set_aside(tmp_path: Path) -> None:
    write_jobs(tmp_path, 1)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content.replace(b"jobs_by_status", b"jobs\xa1by_status", 1))
    open_sqlite(tmp_path).close()
    assert list(tmp_path.glob(f"{FILE}.broken-*"))


def test_file_with_an_inconsistent_index_is_set_aside(tmp_path: Path) -> None:
    write_jobs(tmp_path, 3)
    content = (tmp_path / FILE).read_bytes()
    position = content.index(b"queued\x02")  # In the index, a job's number follows its status.
    (tmp_path / FILE).write_bytes(content[:position] + b"qqeued" + content[position + 6 :])
    open_sqlite(tmp_path).close()
    assert list(tmp_path.glob(f"{FILE}.broken-*"))


def test_valid_file_is_not_set_aside(tmp_path: Path) -> None:
    write_jobs(tmp_path, 20)
    table = JobTable(open_sqlite(tmp_path))
    assert table.count_queued() == 20
    table.close()
    assert not list(tmp_path.glob("*.broken-*"))


def set_version(directory: Path, version: int) -> None:
    connection = sqlite3.connect(directory / FILE)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def test_file_of_an_earlier_version_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_jobs(tmp_path, 1)
    set_version(tmp_path, VERSION - 1)
    table = JobTable(open_sqlite(tmp_path))
    assert table.count_queued() == 0
    table.close()
    (kept,) = tmp_path.glob(f"{FILE}.broken-*[0-9]")
    assert f"it has version {VERSION - 1}; this server uses version {VERSION}" in caplog.text
    assert kept.name in caplog.text


def test_file_of_a_later_version_is_an_error(tmp_path: Path) -> None:
    write_jobs(tmp_path, 1)
    set_version(tmp_path, VERSION + 1)
    with pytest.raises(StorageFailed, match=f"has version {VERSION + 1}"):
        open_sqlite(tmp_path)
    assert not list(tmp_path.glob("*.broken-*"))


def test_refuses_a_directory_instead_of_the_file(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StorageFailed, match="unable to open"):
        open_sqlite(tmp_path)


def test_refuses_a_directory_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was an OSError, which stopped the server instead of starting it without jobs."""

    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(sqlite, "sync_directory", fail)
    with pytest.raises(StorageFailed, match="Input/output error"):
        open_sqlite(tmp_path)


def insert_twice(opened: SqliteDatabase, *, failure: Exception | None = None) -> None:
    insert = (
        "INSERT INTO jobs (id, kind, task, model, fields, status, created_at) "
        "VALUES ('a', '', '', '', '[]', 'queued', 0)"
    )
    with opened.transaction() as connection:
        connection.execute(insert)
        if failure:
            raise failure
        connection.execute(insert)


def test_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    opened = open_sqlite(tmp_path)
    with pytest.raises(StorageFailed, match="UNIQUE"):
        insert_twice(opened)
    assert opened.query("SELECT * FROM jobs") == []
    with pytest.raises(ZeroDivisionError):
        insert_twice(opened, failure=ZeroDivisionError())
    assert opened.query("SELECT * FROM jobs") == []
    opened.close()


def test_full_disk_is_an_error_and_loses_no_job(tmp_path: Path) -> None:
    """SQLite reports its own limit of pages like a full disk."""
    opened = open_sqlite(tmp_path)
    table = JobTable(opened)
    table.add("first", make_spec(), max_queued=10_000)
    opened.query("PRAGMA max_page_count = 12")
    n_jobs = 1
    with pytest.raises(StorageFailed, match=r"^jobs cannot be kept \(database or disk is full\)"):  # noqa: PT012 # How many jobs fit is unknown.
        while True:
            table.add(str(n_jobs), make_spec(), max_queued=10_000)
            n_jobs += 1
    assert table.count_queued() == n_jobs
    assert table.claim("lease", lease_s=60.0, max_crashes=0).job
    table.close()
