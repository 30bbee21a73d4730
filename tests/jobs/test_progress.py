"""How far jobs are, how long they will take, and who is told."""

from __future__ import annotations

import asyncio

import pytest

from hf_asr_endpoint.jobs.progress import NOT_BEGUN, JobProgress, ProgressBoard
from hf_asr_endpoint.types import Progress
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def board(clock: FakeClock) -> ProgressBoard:
    return ProgressBoard(clock)


def test_the_rest_is_estimated_from_the_time_so_far(board: ProgressBoard, clock: FakeClock) -> None:
    assert board.progress_of("a") is None
    board.begin("a")
    assert board.progress_of("a") == NOT_BEGUN
    clock.seconds += 10
    board.report("a", Progress(done_s=50.0, length_s=200.0))
    assert board.progress_of("a") == JobProgress(fraction=0.25, remaining_s=30.0)
    clock.seconds += 5
    board.report("a", Progress(done_s=201.0, length_s=200.0))
    assert board.progress_of("a") == JobProgress(fraction=1.0, remaining_s=0.0)


def test_without_a_length_nothing_is_known(board: ProgressBoard) -> None:
    board.begin("a")
    board.report("a", Progress(done_s=50.0, length_s=None))
    assert board.progress_of("a") == JobProgress()


def test_a_job_that_runs_again_begins_anew(board: ProgressBoard) -> None:
    board.begin("a")
    board.report("a", Progress(done_s=5.0, length_s=10.0))
    board.end("a")
    board.report("a", Progress(done_s=6.0, length_s=10.0))
    assert board.progress_of("a") is None, "what its last run still tells"
    board.begin("a")
    assert board.progress_of("a") == NOT_BEGUN


def test_everybody_who_waits_is_woken_once_for_each_news(board: ProgressBoard) -> None:
    async def scenario() -> None:
        first, second, other = board.news_of("a"), board.news_of("a"), board.news_of("b")
        board.begin("a")
        assert first.is_set()
        assert second.is_set()
        assert not other.is_set()
        again = board.news_of("a")
        assert not again.is_set()
        board.end("a")
        assert again.is_set()

    asyncio.run(scenario())
