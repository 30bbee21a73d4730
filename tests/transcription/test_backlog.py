"""How much audio waits, how fast it is transcribed, and who is refused for it."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.errors import Overloaded
from hf_asr_endpoint.transcription.backlog import ASSUMED_SPEED, MAX_RETRY_AFTER_S, SPREAD, TURN_S, Backlog
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def backlog(clock: FakeClock) -> Backlog:
    return Backlog(max_s=100.0, now=clock)


def test_what_waits_is_the_declared_length_minus_what_is_done(backlog: Backlog) -> None:
    first, second = backlog.open_place(), backlog.open_place()
    assert backlog.waiting_s == 0
    first.declare(60.0)
    second.declare(30.0)
    assert backlog.waiting_s == 90
    first.advance(20.0)
    first.advance(15.0)
    assert backlog.waiting_s == 70
    first.advance(75.0)
    assert backlog.waiting_s == 30, "more than it declared"
    second.leave()
    second.leave()
    assert backlog.waiting_s == 0


def test_a_recording_beyond_the_limit_is_refused_and_counts_with_nothing(backlog: Backlog) -> None:
    backlog.open_place().declare(60.0)
    with pytest.raises(Overloaded, match=r"60 s of audio are waiting, .* has 41 s; allowed: 100 s"):
        backlog.open_place().declare(41.0)
    assert backlog.waiting_s == 60
    backlog.open_place().declare(40.0)


def test_a_recording_above_the_limit_is_accepted_where_nothing_waits(backlog: Backlog) -> None:
    backlog.open_place().declare(500.0)
    with pytest.raises(Overloaded):
        backlog.open_place().declare(1.0)


def test_a_patient_recording_neither_counts_nor_is_refused(backlog: Backlog) -> None:
    job = backlog.open_place(is_patient=True)
    job.declare(80.0)
    assert (backlog.waiting_s, job.remaining_s) == (0, 80)
    backlog.open_place().declare(90.0)
    backlog.open_place(is_patient=True).declare(1_000.0)
    assert backlog.waiting_s == 90


@pytest.mark.parametrize(("speed", "retry_after_s"), [(20.0, 2), (0.5, 80), (0.001, MAX_RETRY_AFTER_S)])
def test_the_time_to_try_again_comes_from_the_measured_speed(
    backlog: Backlog, clock: FakeClock, speed: float, retry_after_s: int
) -> None:
    place = backlog.open_place()
    place.declare(10 * speed + 90.0)
    clock.seconds += 10
    place.advance(10 * speed)
    with pytest.raises(Overloaded, match=f"try again in {retry_after_s} s") as refused:
        backlog.open_place().declare(50.0)
    assert refused.value.retry_after_s == retry_after_s


def test_the_speed_is_of_the_time_with_work_and_forgets(backlog: Backlog, clock: FakeClock) -> None:
    assert backlog.speed is None
    place = backlog.open_place()
    clock.seconds += 5
    place.advance(50.0)
    place.leave()
    assert backlog.speed == pytest.approx(10, rel=0.1)
    clock.seconds += 1_000
    assert backlog.speed == pytest.approx(10, rel=0.1), "nothing was waiting for it"
    place = backlog.open_place()
    for _ in range(60):
        clock.seconds += 10
        place.advance(place.done_s + 20.0)
    assert backlog.speed == pytest.approx(2, rel=0.1)


def work_at(backlog: Backlog, clock: FakeClock, speed: float) -> None:
    """Have the backlog see a recording transcribed for so long that nothing else counts."""
    done = backlog.open_place()
    clock.seconds += 600
    done.advance(600 * speed)
    done.leave()


def test_the_wait_is_the_time_of_a_window_of_each_request_ahead(backlog: Backlog, clock: FakeClock) -> None:
    backlog.open_place().declare(10.0)
    assert backlog.wait_s == pytest.approx(SPREAD * 10 / ASSUMED_SPEED), "nothing is known of the speed"
    work_at(backlog, clock, 2.0)
    assert backlog.wait_s == pytest.approx(SPREAD * 10 / 2, rel=0.1)
    assert backlog.turn_wait_s == pytest.approx(SPREAD * TURN_S / 2, rel=0.3), "of a usual length"
    backlog.open_place().declare(80.0)
    backlog.open_place(is_patient=True).declare(80.0)
    assert backlog.wait_s == pytest.approx(SPREAD * (10 + TURN_S) / 2, rel=0.1)


def test_a_beginning_says_little_of_the_speed(backlog: Backlog, clock: FakeClock) -> None:
    """Windows that run side by side end late, and all at once."""
    places = [backlog.open_place() for _ in range(3)]
    for place in places:
        place.declare(30.0)
    clock.seconds += 10
    places[0].advance(1.0)
    assert backlog.speed == pytest.approx(0.1)
    assert backlog.wait_s < 2 * SPREAD * 3 * 30 / ASSUMED_SPEED


def test_recordings_of_unknown_length_count_with_the_usual_one(backlog: Backlog, clock: FakeClock) -> None:
    work_at(backlog, clock, 1.0)
    before = [backlog.open_place() for _ in range(40)]
    assert backlog.wait_s == pytest.approx(SPREAD * 40 * TURN_S, rel=0.1)
    for place in before:
        place.declare(2.0)
        place.leave()
    backlog.open_place()
    assert backlog.wait_s == pytest.approx(SPREAD * 2.0, rel=0.3)


def test_a_recording_that_would_wait_too_long_is_refused(clock: FakeClock) -> None:
    backlog = Backlog(max_s=1_000.0, max_wait_s=SPREAD * 20.0, now=clock)
    work_at(backlog, clock, 1.0)
    first = backlog.open_place()
    first.declare(900.0)
    backlog.open_place(is_patient=True).declare(10.0)
    with pytest.raises(Overloaded, match=r"may wait 36\.0 s for its turn now; allowed: 24 s; try again in 12 s"):
        backlog.open_place()
    first.advance(885.0)
    backlog.open_place().declare(60.0)
