"""What waits for a client that reads slowly."""

from __future__ import annotations

import asyncio

from hf_asr_endpoint.api.outbox import MAX_WAITING_EVENTS, Event, Outbox
from hf_asr_endpoint.api.realtime.rendering import TRANSCRIPTION, join_deltas, make_event


def delta(text: str, item: str = "a") -> Event:
    return make_event(f"{TRANSCRIPTION}.delta", item_id=item, content_index=0, delta=text, words=[text])


def interim(text: str, item: str = "a") -> Event:
    return make_event(f"{TRANSCRIPTION}.interim", item_id=item, content_index=0, text=text)


def taken(outbox: Outbox) -> list[Event]:
    async def take() -> list[Event]:
        outbox.close()
        events = []
        while (event := await outbox.take()) is not None:
            events.append(event)
        return events

    return asyncio.run(take())


def test_deltas_of_one_item_are_joined() -> None:
    outbox = Outbox(join_deltas)
    outbox.put(delta("one"), delta(" two"), delta("three", "b"), make_event("other"), delta(" four", "b"))
    events = taken(outbox)
    assert [event.get("delta") for event in events] == ["one two", "three", None, " four"]
    assert events[0]["words"] == ["one", " two"]


def test_an_interim_makes_way_for_what_follows_it() -> None:
    outbox = Outbox(join_deltas)
    outbox.put(interim("on"), interim("one"), delta("one"), interim(" tw"), delta(" two"), interim(" three"))
    outbox.put(interim("four", "b"), make_event("other"), interim("five", "b"))
    events = taken(outbox)
    assert [event.get("delta") or event.get("text") for event in events] == [
        *("one two", " three", "four", None, "five"),
    ]


def test_what_cannot_be_joined_fills_it() -> None:
    outbox = Outbox(join_deltas)
    outbox.put(*(make_event("other") for _ in range(MAX_WAITING_EVENTS)))
    assert not outbox.is_full
    outbox.put(make_event("other"))
    assert outbox.is_full
