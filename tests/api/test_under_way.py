from __future__ import annotations

import asyncio

from hf_asr_endpoint.api.under_way import UnderWay

DEADLINE_S = 10.0


def test_nothing_under_way_is_not_waited_for() -> None:
    asyncio.run(asyncio.wait_for(UnderWay().wait(3600), DEADLINE_S))


def test_the_last_request_is_waited_for() -> None:
    async def scenario() -> list[str]:
        under_way = UnderWay()
        events = []

        async def wait() -> None:
            await under_way.wait(DEADLINE_S)
            events.append("waited")

        with under_way.request():
            with under_way.request():
                waiting = asyncio.create_task(wait())
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            events.append("answered")
        await waiting
        return events

    assert asyncio.run(scenario()) == ["answered", "waited"]


def test_a_request_that_never_ends_is_not_waited_for_for_ever() -> None:
    async def scenario() -> None:
        under_way = UnderWay()
        with under_way.request():
            await under_way.wait(0.01)

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
