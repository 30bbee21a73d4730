from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from bench.overload.evaluation import ANSWER_COLUMNS, Capacity, answer_row, overload_bars, slow_upload_bar
from bench.overload.sending import Answer, Pulse, Sender, Sound

CAPACITY = Capacity(window_s=0.5, requests_per_s=4.0)
MAX_WAIT_S = 4.0
ACCEPTED = Answer(status=200, head_s=4.9, elapsed_s=5.0, text="a text")
REFUSED = Answer(status=429, head_s=0.01, elapsed_s=0.02, has_retry_after=True)


def failed_bars(*answers: Answer) -> list[str]:
    return [bar.what for bar in overload_bars(answers, CAPACITY, max_wait_s=MAX_WAIT_S) if not bar.holds]


def test_the_accepted_may_take_the_longest_wait_and_two_windows() -> None:
    assert failed_bars(ACCEPTED, REFUSED) == []
    assert failed_bars(replace(ACCEPTED, elapsed_s=5.1), REFUSED) == ["p95 of the accepted within 5.0 s"]


@pytest.mark.parametrize(
    ("answer", "bar"),
    [
        pytest.param(replace(REFUSED, elapsed_s=0.06), "429 within 50 ms", id="a late 429"),
        pytest.param(replace(REFUSED, has_retry_after=False), "every 429 has Retry-After", id="no Retry-After"),
        pytest.param(replace(ACCEPTED, status=500), "every request gets its text or 429", id="another status"),
        pytest.param(replace(ACCEPTED, error="text"), "every request gets its text or 429", id="another text"),
        pytest.param(
            replace(ACCEPTED, status=None), "every request gets its text or 429", id="a connection that failed"
        ),
    ],
)
def test_one_response_fails_its_bar(answer: Answer, bar: str) -> None:
    assert failed_bars(ACCEPTED, REFUSED, answer) == [bar]


def test_no_bar_holds_without_responses() -> None:
    assert failed_bars(REFUSED) == ["every request gets its text or 429", "p95 of the accepted within 5.0 s"]
    assert failed_bars(ACCEPTED) == ["429 within 50 ms"]


def test_slow_uploads_fail_where_a_fast_client_is_refused_or_one_of_them_ends() -> None:
    assert slow_upload_bar([ACCEPTED], [None, None]).holds
    assert not slow_upload_bar([ACCEPTED, REFUSED], [None]).holds
    assert not slow_upload_bar([ACCEPTED], [None, REFUSED]).holds
    assert not slow_upload_bar([], [None]).holds


def test_a_row_of_times_in_ms() -> None:
    row = answer_row("429", [REFUSED, replace(REFUSED, elapsed_s=0.04)])
    assert row == ("429", "2", "30", "39", "40", "40")
    assert answer_row("none", []) == ("none", "0", "–", "–", "–", "–")
    assert len(row) == len(ANSWER_COLUMNS)


def test_a_server_that_is_not_there_is_an_answer_with_an_error() -> None:
    answer = asyncio.run(Sender("http://127.0.0.1:1").transcribe(Sound(audio=b"RIFF")))
    assert answer.status is None
    assert answer.error is not None


def test_the_clients_own_delays_are_no_part_of_a_refusals_time() -> None:
    late = replace(REFUSED, elapsed_s=0.1, own_delay_s=0.08)
    assert failed_bars(ACCEPTED, late) == []
    (bar,) = [
        bar for bar in overload_bars([late], CAPACITY, max_wait_s=MAX_WAIT_S) if bar.what == "429 within 50 ms"
    ]
    assert "the last after 20 ms, without the client's own delays of up to 80 ms" in bar.result


def test_a_pulse_knows_how_much_of_a_time_was_a_delay() -> None:
    pulse = Pulse()
    pulse.delays += [(1.0, 1.5), (2.0, 2.25)]
    assert pulse.within_s(0.0, 3.0) == 0.75
    assert pulse.within_s(1.25, 2.125) == 0.375
    assert pulse.within_s(2.5, 3.0) == 0.0


def test_a_pulse_notices_a_program_that_does_not_look() -> None:
    async def scenario() -> float:
        pulse = Pulse()
        beating = asyncio.create_task(pulse.beat())
        await asyncio.sleep(0)
        began = time.perf_counter()
        time.sleep(0.1)  # Keeps the loop from running: what a pulse is to notice.
        await asyncio.sleep(0.02)
        beating.cancel()
        return pulse.within_s(began, began + 0.1)

    assert asyncio.run(scenario()) > 0.08
