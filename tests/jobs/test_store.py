"""The store on a full disk."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
import pytest

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.data_directory import RESERVE_FILE, open_data_directory
from hf_asr_endpoint.jobs.ids import make_id
from hf_asr_endpoint.jobs.job import Job
from hf_asr_endpoint.jobs.spool import Spool
from hf_asr_endpoint.jobs.sqlite import open_sqlite
from hf_asr_endpoint.jobs.store import JobStore
from hf_asr_endpoint.jobs.table import JobTable
from tests.jobs.conftest import make_spec
from tests.jobs.place import Place
from tests.jobs.running import make_audio

CHECKOUT = Path(__file__).parents[2]
TIMEOUT_S = 60.0

MOUNT_AND_RUN = 'mount -t tmpfs -o size=3m tmpfs "$1" && exec "$2" -c "$3" "$1"'

DELETE_ON_A_FULL_DISK = """
import asyncio, sys
from pathlib import Path
from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.types import (Health)
from tests.fakes import FakeTranscriber
from tests.jobs.running import audio_files, make_audio, plain_job, run_job, running_jobs

directory = Path(sys.argv[1])

def fill():
    with open(directory / "other", "ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            return

async def main():
    async with running_jobs(directory, FakeTranscriber()) as jobs:
        finished = await run_job(jobs)
    async with running_jobs(directory, FakeTranscriber(health=Health(state="loading"))) as jobs:
        queued = await jobs.submit(plain_job(), make_audio())
        fill()
        try:
            await jobs.submit(plain_job(), make_audio())
        except StorageFailed as exc:
            print(exc)
        print((await jobs.cancel_or_remove(queued.id)).status.value)
        (directory / "other").unlink()
    async with running_jobs(directory, FakeTranscriber()) as jobs:
        fill()
        print(await jobs.cancel_or_remove(finished.id), audio_files(directory))

asyncio.run(main())
"""


class FullDiskTable(JobTable):
    """A table that can be changed only while the reserved space is released."""

    def __init__(self, directory: Path) -> None:
        super().__init__(open_sqlite(directory))
        self._reserve = directory / RESERVE_FILE

    def cancel(self, job_id: str) -> bool:
        if self._reserve.exists():
            raise StorageFailed("the disk is full")
        return super().cancel(job_id)


def test_reserved_space_makes_room_for_a_deletion(tmp_path: Path) -> None:
    table = FullDiskTable(tmp_path)
    table.add("a", make_spec(), max_queued=1)
    store = JobStore(table, Spool(tmp_path), open_data_directory(tmp_path))
    store.recover()

    async def work() -> None:
        with pytest.raises(StorageFailed):
            await store.call(lambda table: table.cancel("a"))
        assert await store.call_with_reserve(lambda table: table.cancel("a"))
        await store.reserve_space()

    asyncio.run(work())
    assert (tmp_path / RESERVE_FILE).exists()
    store.close()


def test_error_that_the_reserve_does_not_solve_is_raised(tmp_path: Path) -> None:
    store = JobStore(JobTable(open_sqlite(tmp_path)), Spool(tmp_path), open_data_directory(tmp_path))
    calls = []

    def fail(table: JobTable) -> None:
        calls.append(table)
        raise StorageFailed("the disk is broken")

    with pytest.raises(StorageFailed, match="the disk is broken"):
        asyncio.run(store.call_with_reserve(fail))
    assert len(calls) == 2
    store.close()


def test_jobs_can_be_cancelled_and_removed_on_a_full_disk(tmp_path: Path) -> None:
    """SQLite writes a deletion to its log first. On a full disk, DELETE failed with 507, so no client could make
    space. The test mounts a small file system that only its subprocess sees."""
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", MOUNT_AND_RUN, "sh"]
    arguments = [str(tmp_path), sys.executable, DELETE_ON_A_FULL_DISK]
    probe = subprocess.run([*command, str(tmp_path), "true", "", ""], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"no file system can be mounted here: {probe.stderr.strip()}")
    result = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, cwd=CHECKOUT
    )
    assert result.returncode == 0, result.stderr
    refusal, *deletions = result.stdout.splitlines()
    assert "cannot be kept" in refusal
    assert deletions == ["cancelled", "None []"]


def test_slow_storage_does_not_delay_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads took all threads, so that leases ran out."""
    store = Place(tmp_path).open_store()
    released = threading.Event()

    def wait(spool: Spool, job_id: str) -> BinaryIO:
        released.wait(TIMEOUT_S)
        raise StorageFailed("the storage is slow")

    monkeypatch.setattr(Spool, "open", wait)

    async def work() -> None:
        opening = [asyncio.create_task(store.open_audio("a")) for _ in range(20)]
        await asyncio.sleep(0)
        try:
            assert await asyncio.wait_for(store.call(lambda table: table.count_queued()), TIMEOUT_S / 2) == 0
        finally:
            released.set()
            await asyncio.gather(*opening, return_exceptions=True)

    asyncio.run(work())
    store.close()


@pytest.mark.parametrize("can_cancel", [True, False])
def test_a_job_whose_row_may_be_stored_keeps_its_audio_unless_it_is_cancelled(
    shared_place: Place, monkeypatch: pytest.MonkeyPatch, can_cancel: bool
) -> None:
    add = JobTable.add

    def fail(table: JobTable, *args: Any, **values: Any) -> bool:
        raise StorageFailed("the database does not answer")

    def add_and_fail(table: JobTable, *args: Any, **values: Any) -> Job:
        add(table, *args, **values)
        raise StorageFailed("the database does not answer")

    monkeypatch.setattr(JobTable, "add", add_and_fail)
    if not can_cancel:
        monkeypatch.setattr(JobTable, "cancel", fail)
    store = shared_place.open_store()

    async def work() -> None:
        with pytest.raises(StorageFailed):
            await store.add(make_spec(), make_audio(), max_queued=9)
        unfinished = await store.call(lambda table: table.unfinished())
        assert len(unfinished) == (0 if can_cancel else 1)
        assert shared_place.audio_files() == list(unfinished)

    asyncio.run(work())
    store.close()


def test_two_databases_may_use_one_folder(shared_place: Place, postgres: str) -> None:
    """The sweeps of each deleted the audio of the other."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS other CASCADE")
        connection.execute("CREATE SCHEMA other")
    first = shared_place.open_store()
    second = Place(shared_place.directory, f"{postgres}?options=-csearch_path%3Dother").open_store()

    async def work() -> None:
        job = await second.add(make_spec(), make_audio(), max_queued=9)
        await first.sweep_audio()
        await first.sweep_audio()
        assert [path.name for path in shared_place.directory.glob("audio*/*")] == [job.id]

    asyncio.run(work())
    first.close()
    second.close()


def test_sweeps_delete_audio_that_has_no_job_twice_and_does_not_grow(shared_place: Place) -> None:
    """New audio has no job for a moment, and another server may be writing it."""
    store = shared_place.open_store()
    orphan, copying = make_id(), f"{make_id()}.part"
    folder = shared_place.audio_folder
    for name in (orphan, copying, "notes"):
        (folder / name).write_bytes(b"audio")

    async def work() -> None:
        job = await store.add(make_spec(), make_audio(), max_queued=9)
        await store.sweep_audio()
        assert len(shared_place.audio_files()) == 4
        (folder / copying).write_bytes(b"more audio")
        await store.sweep_audio()
        assert set(shared_place.audio_files()) == {job.id, copying, "notes"}
        await store.sweep_audio()
        assert set(shared_place.audio_files()) == {job.id, "notes"}

    asyncio.run(work())
    store.close()
