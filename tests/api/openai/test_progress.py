"""Events that tell how far a stream is."""

from __future__ import annotations

import pytest
import requests

from tests.api.conftest import DEADLINE_S, Serve
from tests.api.openai.test_stream import PATH, SEGMENTS, received
from tests.fakes import FakeTranscriber


@pytest.mark.parametrize(
    ("accept", "n_events"),
    [
        ("text/event-stream; progress=true", 2),
        ("application/json, Text/Event-Stream;q=0.9;progress=true", 2),
        ("application/json; progress=true, text/event-stream", 0),
        ("*/*", 0),
    ],
)
def test_progress_is_told_to_clients_that_accept_it(serve: Serve, wav: bytes, accept: str, n_events: int) -> None:
    url = serve(FakeTranscriber(segments=SEGMENTS))
    form = {"model": "whisper-1", "stream": "true"}
    answer = requests.post(
        url + PATH, files={"file": wav}, data=form, headers={"Accept": accept}, timeout=DEADLINE_S
    )
    events = [event for event in received(answer) if event["type"] == "transcript.progress"]
    assert [event["done_s"] for event in events] == [0.5, 1.0][:n_events]
    assert all(event["progress"] == round(event["done_s"] / event["duration_s"], 4) for event in events)
