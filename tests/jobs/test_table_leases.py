"""Who holds a lease on a job or on its delivery, alone may change it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hf_asr_endpoint.jobs.ids import make_lease
from hf_asr_endpoint.jobs.job import DeliveryStatus, JobStatus
from hf_asr_endpoint.jobs.progress import NOT_BEGUN, JobProgress
from hf_asr_endpoint.jobs.table import JobTable
from tests.jobs.conftest import Clock
from tests.jobs.steps import LEASE_S, add, claim, claim_delivery, find, finish, start, succeed


def test_a_job_with_more_crashes_than_allowed_is_not_claimed_nor_passed_over(
    table: JobTable, clock: Clock
) -> None:
    add(table, "a", "b")
    claim(table, "lease")
    clock.now += LEASE_S + 1
    assert table.free_expired() == 1
    assert claim(table, "again", max_crashes=0) is None
    assert claim(table, "again", max_crashes=1) == find(table, "a")


def test_a_claim_whose_answer_was_lost_can_be_repeated(table: JobTable) -> None:
    """The repetition failed until the lease ran out: no two jobs have the same."""
    add(table, "a", "b")
    assert claim(table, "lease") == claim(table, "lease") == find(table, "a")
    assert find(table, "b").status is JobStatus.QUEUED
    finish(table, "lease")
    succeed(table, "b")
    assert claim_delivery(table, "lease") == claim_delivery(table, "lease") == find(table, "a")


def test_each_of_many_claimants_gets_another_job(table: JobTable) -> None:
    add(table, *"abcdefgh")
    with ThreadPoolExecutor(8) as threads:
        jobs = list(threads.map(lambda index: claim(table, f"lease {index}"), range(8)))
    found = [job.id for job in jobs if job]
    assert len(found) == len(set(found))
    # PostgreSQL passes over what another one is just claiming, so that at the end of the queue some get nothing.
    while job := claim(table, make_lease()):
        found.append(job.id)
    assert sorted(found) == list("abcdefgh")


def test_a_lease_runs_out_unless_it_is_renewed(table: JobTable, clock: Clock) -> None:
    add(table, "a", "b")
    claim(table, "of a")
    claim(table, "of b")
    clock.now += LEASE_S / 2
    assert table.renew({"of a": JobProgress(fraction=0.5, remaining_s=3.0)}, lease_s=LEASE_S) == frozenset()
    assert (find(table, "a").progress, find(table, "a").remaining_s) == (0.5, 3.0)
    clock.now += LEASE_S / 2 + 1
    assert table.free_expired() == 1
    assert [(find(table, job_id).status.value, find(table, job_id).n_crashes) for job_id in "ab"] == [
        ("running", 0),
        ("queued", 1),
    ]
    assert table.renew({"of a": NOT_BEGUN, "of b": NOT_BEGUN}, lease_s=LEASE_S) == {"of b"}


def test_a_lost_lease_changes_nothing(table: JobTable, clock: Clock) -> None:
    """A server that was silent comes back while another one runs its job."""
    add(table, "a")
    claim(table, "lost")
    clock.now += LEASE_S + 1
    table.free_expired()
    claim(table, "held")
    assert not finish(table, "lost", JobStatus.FAILED)
    assert not table.free("lost")
    assert find(table, "a").status is JobStatus.RUNNING
    assert finish(table, "held")
    assert claim_delivery(table, "lost") is not None
    clock.now += LEASE_S + 1
    assert table.free_expired() == 1
    assert claim_delivery(table, "held") is not None
    assert not table.record_attempt("lost", DeliveryStatus.DELIVERED)
    assert table.record_attempt("held", DeliveryStatus.DELIVERED)
    assert (find(table, "a").n_crashes, find(table, "a").delivery.n_attempts) == (1, 1)


def test_a_delivery_is_claimed_once(table: JobTable) -> None:
    add(table, "a")
    succeed(table, "a")
    assert claim_delivery(table, "first")
    assert claim_delivery(table, "second") is None
    assert table.free("first")
    assert claim_delivery(table, "second")


def test_freeing_all_queues_running_jobs_and_counts_a_crash(table: JobTable) -> None:
    add(table, "waiting", "running", "done", "cancelled")
    start(table, "running")
    succeed(table, "done")
    table.cancel("cancelled")
    claim_delivery(table, "interrupted")
    table.free_all()
    assert table.unfinished() == {"waiting", "running"}
    assert [find(table, job_id).n_crashes for job_id in ("waiting", "running", "done")] == [0, 1, 0]
    assert find(table, "running").status is JobStatus.QUEUED
    assert claim_delivery(table, "again") == find(table, "done")
