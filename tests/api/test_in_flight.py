from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack

import pytest

from hf_asr_endpoint.api.in_flight import RETRY_AFTER_S, InFlightRequests
from hf_asr_endpoint.errors import Overloaded

DEADLINE_S = 10.0


def permits(in_flight: InFlightRequests, n: int, owner: str | None = None) -> ExitStack:
    """Return `n` permits of an owner, held until the stack ends."""
    held = ExitStack()
    for _ in range(n):
        held.enter_context(in_flight.permit(object(), owner))
    return held


def test_a_permit_beyond_the_limit_is_refused() -> None:
    in_flight = InFlightRequests(2)
    with permits(in_flight, 2), pytest.raises(Overloaded, match="allowed: 2") as refused:
        permits(in_flight, 1)
    assert refused.value.retry_after_s == RETRY_AFTER_S


@pytest.mark.parametrize(("held_s", "retry_after_s"), [(0.2, 1), (6.0, 3), (600.0, 60)])
def test_the_time_to_try_again_comes_from_how_long_requests_take(
    monkeypatch: pytest.MonkeyPatch, held_s: float, retry_after_s: int
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    in_flight = InFlightRequests(1)
    for _ in range(3):
        with permits(in_flight, 1):
            now += held_s
    with permits(in_flight, 1), pytest.raises(Overloaded, match=f"try again in {retry_after_s} s") as refused:
        permits(in_flight, 1)
    assert refused.value.retry_after_s == retry_after_s


def test_the_last_permits_are_kept_for_other_keys() -> None:
    in_flight = InFlightRequests(8)
    with permits(in_flight, 7, "anna"):
        with pytest.raises(Overloaded, match=r"7 requests of this API key .* allowed: 7 at a time, of 8 for all"):
            permits(in_flight, 1, "anna")
        with (
            permits(in_flight, 1, "bert"),
            pytest.raises(Overloaded, match="8 requests are in flight; allowed: 8 at a time"),
        ):
            permits(in_flight, 1, "carla")
    permits(in_flight, 1, "anna").close()


def test_without_keys_all_permits_are_for_everybody() -> None:
    permits(InFlightRequests(8), 8).close()


def test_a_promised_permit_is_kept_until_it_is_taken() -> None:
    in_flight = InFlightRequests(2)
    with permits(in_flight, 1), in_flight.promise("first"):
        with pytest.raises(Overloaded, match="2 requests are in flight; allowed: 2"):
            in_flight.promise("second").__enter__()
        with pytest.raises(Overloaded, match="2 requests are in flight; allowed: 2"):
            permits(in_flight, 1)
        with in_flight.permit("first"):
            assert (in_flight.n_permits, in_flight.n_promised) == (2, 0)
        in_flight.check()
    with permits(in_flight, 1), in_flight.promise("third"):
        pass
    assert (in_flight.n_permits, in_flight.n_promised) == (0, 0)


def test_a_permit_that_is_not_wanted_is_free_again() -> None:
    in_flight = InFlightRequests(1)
    with in_flight.promise("a job"):
        in_flight.withdraw("a job")
        in_flight.withdraw("another")
        permits(in_flight, 1).close()
    assert in_flight.n_promised == 0


def test_what_is_promised_to_a_key_counts_for_that_key() -> None:
    in_flight = InFlightRequests(8)
    with permits(in_flight, 6, "anna"), in_flight.promise("first", "anna"):
        with pytest.raises(Overloaded, match=r"7 requests of this API key .* allowed: 7"):
            in_flight.check("anna")
        in_flight.check("bert")


def test_a_permit_is_released_when_the_work_fails() -> None:
    in_flight = InFlightRequests(1)
    with pytest.raises(ZeroDivisionError), permits(in_flight, 1):
        raise ZeroDivisionError
    permits(in_flight, 1).close()


def test_waiting_ends_at_once_without_requests() -> None:
    assert asyncio.run(asyncio.wait_for(InFlightRequests(1).wait_until_none(3600), DEADLINE_S))


def test_waiting_ends_after_the_last_response() -> None:
    async def scenario() -> list[str]:
        in_flight = InFlightRequests(1)
        events = []

        async def wait() -> None:
            await in_flight.wait_until_none(DEADLINE_S)
            events.append("waited")

        with in_flight.count():
            with in_flight.count():
                waiting = asyncio.create_task(wait())
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            events.append("responded")
        await waiting
        return events

    assert asyncio.run(scenario()) == ["responded", "waited"]


def test_waiting_for_a_request_that_never_ends_times_out() -> None:
    async def scenario() -> bool:
        in_flight = InFlightRequests(1)
        with in_flight.count():
            return await in_flight.wait_until_none(0.01)

    assert not asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))


def test_waiting_ends_after_the_last_cleanup() -> None:
    async def scenario() -> None:
        in_flight = InFlightRequests(1)
        may_end, has_ended = asyncio.Event(), False

        async def clean_up() -> None:
            nonlocal has_ended
            await may_end.wait()
            has_ended = True

        in_flight.add_cleanup(clean_up())
        assert not await in_flight.wait_until_none(0.01)
        may_end.set()
        assert await in_flight.wait_until_none(DEADLINE_S)
        assert has_ended

    asyncio.run(scenario())


def test_a_failed_cleanup_is_logged_and_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> bool:
        in_flight = InFlightRequests(1)

        async def fail() -> None:
            raise ZeroDivisionError

        in_flight.add_cleanup(fail())
        return await in_flight.wait_until_none(DEADLINE_S)

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(scenario())
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]
