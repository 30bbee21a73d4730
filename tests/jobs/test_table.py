from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import Overloaded
from hf_asr_endpoint.jobs.ids import make_id
from hf_asr_endpoint.jobs.job import Delivery, DeliveryStatus, Job, JobStatus
from hf_asr_endpoint.jobs.sqlite import open_sqlite
from hf_asr_endpoint.jobs.table import Claim, JobTable
from tests.jobs.conftest import WEBHOOK, Clock, make_spec
from tests.jobs.place import Place
from tests.jobs.steps import LEASE_S, RESULT, add, attempt, claim, claim_delivery, find, finish, start, succeed


def test_job_round_trips(table: JobTable, clock: Clock) -> None:
    added = table.add("a", make_spec(), max_queued=1)
    assert added == find(table, "a")
    assert added == Job(id="a", spec=make_spec(), status=JobStatus.QUEUED, created_at=clock.now)


def test_unknown_job_changes_nothing(table: JobTable) -> None:
    assert table.find("a") is None
    assert not claim(table, "lease")
    assert not table.cancel("a")
    assert not table.remove("a")


def test_delivery_is_due_when_the_job_succeeds(table: JobTable, clock: Clock) -> None:
    add(table, "a")
    clock.now += 5
    succeed(table, "a")
    job = find(table, "a")
    assert (job.status, job.outcome, job.runtime_ms, job.finished_at) == (
        JobStatus.SUCCEEDED,
        RESULT,
        12,
        clock.now,
    )
    assert job.delivery == Delivery(status=DeliveryStatus.PENDING, next_attempt_at=clock.now)
    assert claim_delivery(table, "lease") == job


def test_job_without_webhook_has_no_delivery(table: JobTable) -> None:
    add(table, "a", webhook=None)
    succeed(table, "a")
    assert find(table, "a").delivery == Delivery()
    assert claim_delivery(table, "lease") is None


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "succeeded"])
def test_fields_are_deleted_at_the_end_of_a_job(table: JobTable, is_cancelled: bool) -> None:
    """A prompt of 64 kB was kept for a day with a result of one sentence, and also after a cancellation."""
    add(table, "a")
    assert find(table, "a").spec.fields
    if is_cancelled:
        assert table.cancel("a")
    else:
        succeed(table, "a")
    assert find(table, "a").spec == make_spec(fields=())


def test_queue_is_ordered_by_submission_and_a_freed_job_keeps_its_position(table: JobTable) -> None:
    add(table, "b", "a", "c")
    assert claim(table, "first") == find(table, "b")
    assert claim(table, "second") == find(table, "a")
    assert table.free("first", is_failure=True)
    assert find(table, "b").status is JobStatus.QUEUED
    assert claim(table, "third") == find(table, "b")
    assert (find(table, "b").n_failures, find(table, "b").n_crashes) == (1, 0)


def test_full_queue_refuses_a_job(table: JobTable) -> None:
    table.add("a", make_spec(), max_queued=1)
    with pytest.raises(Overloaded, match="1 jobs are queued; allowed: 1"):
        table.add("b", make_spec(), max_queued=1)
    assert table.find("b") is None
    start(table, "a")
    table.add("b", make_spec(), max_queued=1)


def test_concurrent_jobs_do_not_exceed_the_limit(table: JobTable) -> None:
    def is_accepted(index: int) -> bool:
        try:
            table.add(str(index), make_spec(), max_queued=3)
        except Overloaded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(is_accepted, range(20))) == 3
    assert table.count_queued() == 3


@pytest.mark.parametrize("is_running", [False, True], ids=["queued", "running"])
def test_cancelled_job_stays_cancelled(table: JobTable, is_running: bool) -> None:
    add(table, "a")
    lease = start(table, "a") if is_running else ""
    assert table.cancel("a")
    assert not claim(table, "other")
    assert not table.free(lease)
    assert not finish(table, lease)
    assert not table.cancel("a")
    assert not table.remove("a")
    job = find(table, "a")
    assert (job.status, job.outcome, job.delivery) == (JobStatus.CANCELLED, None, Delivery())


def test_only_a_finished_job_can_be_removed(table: JobTable) -> None:
    add(table, "a")
    assert not table.remove("a")
    lease = start(table, "a")
    assert not table.remove("a")
    finish(table, lease, JobStatus.FAILED)
    assert not table.cancel("a")
    assert table.remove("a")
    assert table.find("a") is None


def test_deliveries_too_far_ahead_are_rescheduled(table: JobTable, clock: Clock) -> None:
    add(table, "a", "b")
    succeed(table, "a", "b")
    for job_id, delay_s in (("a", 1e9), ("b", 60)):
        attempt(table, job_id, DeliveryStatus.PENDING, error="down", next_attempt_in_s=delay_s)
    assert table.limit_delays(max_delay_s=60) == 1
    assert [find(table, job_id).delivery.next_attempt_at for job_id in "ab"] == [clock.now + 60] * 2
    assert table.limit_delays(max_delay_s=60) == 0


def test_attempts_are_counted_until_the_delivery_ends(table: JobTable, clock: Clock) -> None:
    add(table, "a")
    succeed(table, "a")
    attempt(table, "a", DeliveryStatus.PENDING, error="down", next_attempt_in_s=9)
    assert find(table, "a").delivery == Delivery(
        status=DeliveryStatus.PENDING, n_attempts=1, next_attempt_at=clock.now + 9, error="down"
    )
    clock.now += 9
    attempt(table, "a", DeliveryStatus.DELIVERED)
    assert find(table, "a").delivery == Delivery(status=DeliveryStatus.DELIVERED, n_attempts=2)
    assert claim_delivery(table, "lease") is None


def test_earliest_delivery_is_next(table: JobTable, clock: Clock) -> None:
    add(table, "a", "b", "c")
    succeed(table, "a", "b", "c")
    attempt(table, "a", DeliveryStatus.PENDING, next_attempt_in_s=9)
    claimed = [claim_delivery(table, lease) for lease in ("first", "second")]
    assert [job and job.id for job in claimed] == ["b", "c"]
    assert table.claim_delivery("third", lease_s=LEASE_S) == Claim(now=clock.now, due_in_s=9)
    clock.now += 9
    assert claim_delivery(table, "third") == find(table, "a")
    assert table.claim_delivery("fourth", lease_s=LEASE_S) == Claim(now=clock.now)


def test_a_job_that_rests_is_passed_over_until_its_time(table: JobTable, clock: Clock) -> None:
    add(table, "a", "b")
    assert table.rest(start(table, "a"), rest_s=9)
    assert (find(table, "a").status, find(table, "a").n_unread) == (JobStatus.QUEUED, 1)
    succeed(table, "b")
    assert table.claim("lease", lease_s=LEASE_S, max_crashes=9) == Claim(now=clock.now, due_in_s=9)
    clock.now += 9
    assert claim(table, "lease") == find(table, "a")
    assert find(table, "a").delivery == Delivery()


def test_a_job_does_not_rest_longer_because_the_clock_was_set_back(table: JobTable, clock: Clock) -> None:
    add(table, "a")
    table.rest(start(table, "a"), rest_s=600)
    clock.now -= 1e6
    assert table.limit_delays(max_delay_s=600) == 1
    assert table.claim("lease", lease_s=LEASE_S, max_crashes=9).due_in_s == 600


def test_next_delivery_passes_over_busy_receivers(table: JobTable) -> None:
    for job_id, webhook in (("a", "https://busy.example/"), ("b", WEBHOOK)):
        add(table, job_id, webhook=webhook)
        succeed(table, job_id)
    assert claim_delivery(table, "lease", busy=["busy.example:443"]) == find(table, "b")


def test_old_jobs_are_removed_unless_their_delivery_is_pending(table: JobTable, clock: Clock) -> None:
    job_ids = ("pending", "delivered", "cancelled", "queued")
    add(table, *job_ids)
    succeed(table, "pending", "delivered")
    attempt(table, "delivered", DeliveryStatus.DELIVERED)
    table.cancel("cancelled")
    clock.now += 60
    assert table.remove_old(retention_s=60) == 0
    clock.now += 1
    assert table.remove_old(retention_s=60) == 2
    assert [job_id for job_id in job_ids if table.find(job_id)] == ["pending", "queued"]


def test_removed_jobs_leave_nothing_in_sqlites_files(clock: Clock, tmp_path: Path) -> None:
    table = JobTable(open_sqlite(tmp_path), now=clock)
    job_ids = ("removed", "old", "kept")
    for job_id in job_ids:
        add(table, job_id, webhook=f"https://{job_id}.example/")
        succeed(table, job_id)
        attempt(table, job_id, DeliveryStatus.DELIVERED)
        clock.now += 60
    assert table.remove("removed")
    assert table.remove_old(retention_s=90) == 1
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert [job_id for job_id in job_ids if f"https://{job_id}.example/".encode() in content] == ["kept"]
    table.close()


def test_committed_jobs_survive_without_a_close(table: JobTable, place: Place) -> None:
    """A crash does not close the connection: what exists only in its memory would be lost."""
    add(table, "a")
    succeed(table, "a")
    again = JobTable(place.open_database())
    assert again.find("a") == find(table, "a")
    again.close()


def test_the_databases_clock_tells_the_time(place: Place) -> None:
    database = place.open_database()
    assert abs(database.now() - time.time()) < 5
    database.close()


def test_ids_are_long_and_unique() -> None:
    ids = {make_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(job_id) for job_id in ids} == {33}
