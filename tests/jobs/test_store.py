from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import Overloaded
from hf_asr_endpoint.jobs.database import open_database
from hf_asr_endpoint.jobs.job import Delivery, DeliveryStatus, Job, JobStatus
from hf_asr_endpoint.jobs.store import JobStore, make_id
from tests.jobs.conftest import Clock, make_request

RESULT = {"results": {"text": "Grüße"}}


def add(store: JobStore, job_id: str, *, webhook: str | None = "https://receiver.example/") -> None:
    store.add(job_id, make_request(webhook=webhook), max_queued=10)


def succeed(store: JobStore, job_id: str) -> None:
    assert store.start(job_id)
    assert store.finish(job_id, JobStatus.SUCCEEDED, outcome=RESULT, runtime_ms=12)


def found(store: JobStore, job_id: str) -> Job:
    job = store.find(job_id)
    assert job is not None
    return job


def test_a_job_is_read_as_it_was_asked_for(store: JobStore, clock: Clock) -> None:
    added = store.add("a", make_request(), max_queued=1)
    assert added == found(store, "a")
    assert added == Job(id="a", asked=make_request(), status=JobStatus.QUEUED, created_at=clock.now)


def test_a_job_that_is_not_there(store: JobStore) -> None:
    assert store.find("a") is None
    assert not store.start("a")
    assert not store.cancel("a")
    assert not store.remove("a")


def test_a_success_is_due_for_delivery_at_once(store: JobStore, clock: Clock) -> None:
    add(store, "a")
    clock.now += 5
    succeed(store, "a")
    job = found(store, "a")
    assert (job.status, job.outcome, job.runtime_ms, job.finished_at) == (
        JobStatus.SUCCEEDED,
        RESULT,
        12,
        clock.now,
    )
    assert job.delivery == Delivery(status=DeliveryStatus.PENDING, next_attempt_at=clock.now)
    assert store.next_deliveries(limit=5) == [job]


def test_without_a_webhook_there_is_no_delivery(store: JobStore) -> None:
    add(store, "a", webhook=None)
    succeed(store, "a")
    assert found(store, "a").delivery == Delivery()
    assert store.next_deliveries(limit=5) == []


def test_the_queue_is_in_order_and_what_is_put_back_keeps_its_place(store: JobStore) -> None:
    for job_id in ("b", "a", "c"):
        add(store, job_id)
    assert store.next_queued() == found(store, "b")
    store.start("b")
    assert store.next_queued() == found(store, "a")
    store.put_back("b", is_failure=True)
    assert store.next_queued() == found(store, "b")
    assert (found(store, "b").n_failures, found(store, "b").n_crashes) == (1, 0)


def test_a_full_queue_refuses(store: JobStore) -> None:
    store.add("a", make_request(), max_queued=1)
    with pytest.raises(Overloaded, match="1 jobs are queued; allowed: 1"):
        store.add("b", make_request(), max_queued=1)
    assert store.find("b") is None
    store.start("a")
    store.add("b", make_request(), max_queued=1)


def test_jobs_that_come_at_once_do_not_pass_the_limit(store: JobStore) -> None:
    def is_taken(index: int) -> bool:
        try:
            store.add(str(index), make_request(), max_queued=3)
        except Overloaded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(is_taken, range(20))) == 3
    assert store.count_queued() == 3


@pytest.mark.parametrize("is_running", [False, True], ids=["queued", "running"])
def test_a_cancelled_job_stays_cancelled(store: JobStore, is_running: bool) -> None:
    add(store, "a")
    if is_running:
        store.start("a")
    assert store.cancel("a")
    assert not store.start("a")
    assert not store.put_back("a")
    assert not store.finish("a", JobStatus.SUCCEEDED, outcome=RESULT, runtime_ms=1)
    job = found(store, "a")
    assert (job.status, job.outcome, job.delivery) == (JobStatus.CANCELLED, None, Delivery())
    assert not store.cancel("a")


def test_only_what_is_final_can_be_removed(store: JobStore) -> None:
    add(store, "a")
    assert not store.remove("a")
    store.start("a")
    assert not store.remove("a")
    store.finish("a", JobStatus.FAILED, outcome={"error": "broken"}, runtime_ms=1)
    assert not store.cancel("a")
    assert store.remove("a")
    assert store.find("a") is None


def test_recovery_queues_what_was_running_and_counts_it(store: JobStore) -> None:
    for job_id in ("waiting", "running", "done", "cancelled"):
        add(store, job_id)
    store.start("running")
    succeed(store, "done")
    store.cancel("cancelled")
    assert store.recover(longest_delay_s=60) == {"waiting", "running"}
    assert [found(store, job_id).n_crashes for job_id in ("waiting", "running", "done")] == [0, 1, 0]
    assert found(store, "running").status is JobStatus.QUEUED
    assert found(store, "done").delivery.status is DeliveryStatus.PENDING


def test_a_delivery_planned_by_a_wrong_clock_is_taken_up(store: JobStore, clock: Clock) -> None:
    add(store, "a")
    succeed(store, "a")
    store.record_attempt("a", DeliveryStatus.PENDING, error="down", next_attempt_at=clock.now + 1e9)
    store.recover(longest_delay_s=60)
    assert found(store, "a").delivery.next_attempt_at == clock.now + 60


def test_attempts_are_counted_until_one_ends_them(store: JobStore, clock: Clock) -> None:
    add(store, "a")
    succeed(store, "a")
    assert store.record_attempt("a", DeliveryStatus.PENDING, error="down", next_attempt_at=clock.now + 9)
    assert found(store, "a").delivery == Delivery(
        status=DeliveryStatus.PENDING, n_attempts=1, next_attempt_at=clock.now + 9, error="down"
    )
    assert store.record_attempt("a", DeliveryStatus.DELIVERED)
    assert found(store, "a").delivery == Delivery(status=DeliveryStatus.DELIVERED, n_attempts=2)
    assert not store.record_attempt("a", DeliveryStatus.GIVEN_UP)
    assert store.next_deliveries(limit=5) == []


def test_the_earliest_delivery_comes_first(store: JobStore, clock: Clock) -> None:
    for job_id in ("a", "b", "c"):
        add(store, job_id)
        succeed(store, job_id)
    store.record_attempt("a", DeliveryStatus.PENDING, next_attempt_at=clock.now + 9)
    assert [job.id for job in store.next_deliveries(limit=2)] == ["b", "c"]


def test_old_jobs_go_unless_their_delivery_is_pending(store: JobStore, clock: Clock) -> None:
    for job_id in ("pending", "delivered", "cancelled", "queued"):
        add(store, job_id)
    succeed(store, "pending")
    succeed(store, "delivered")
    store.record_attempt("delivered", DeliveryStatus.DELIVERED)
    store.cancel("cancelled")
    clock.now += 60
    assert store.remove_old(retention_s=60) == 0
    clock.now += 1
    assert store.remove_old(retention_s=60) == 2
    assert [store.find(job_id) is None for job_id in ("pending", "delivered", "cancelled", "queued")] == [
        False,
        True,
        True,
        False,
    ]


def test_what_is_added_is_there_when_the_file_is_opened_again(store: JobStore, tmp_path: Path) -> None:
    """As after a crash: the first connection is not closed, and what it knows only in memory does not count."""
    add(store, "a")
    succeed(store, "a")
    again = JobStore(open_database(tmp_path))
    assert again.find("a") == found(store, "a")
    again.close()


def test_ids_are_long_and_never_the_same() -> None:
    ids = {make_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(job_id) for job_id in ids} == {33}
