"""Stream events: as pure values, and over a socket."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from hf_asr_endpoint.api.openai.parameters import parse_parameters
from hf_asr_endpoint.api.openai.stream import EventWriter
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.errors import AsrError, EngineError, EngineUnavailable, InvalidParameter
from hf_asr_endpoint.transcription.stream import TranscriptionStream
from hf_asr_endpoint.types import (
    ANYBODY,
    Caller,
    Segment,
    TokenLogprob,
    Transcription,
    TranscriptionOptions,
    Word,
)
from tests.api.conftest import DEADLINE_S, Serve, wait_for
from tests.fakes import FakeTranscriber, make_segment
from tests.openai_schema import check_schema

PATH = "/v1/audio/transcriptions"
SEGMENTS = [
    make_segment(" One,", end=0.5, tokens=(1, 2, 3)),
    make_segment(" two.", start=0.5, end=1.0, tokens=(4,)),
]


def events_of(segments: Sequence[Segment], *texts: tuple[str, str]) -> list[dict[str, Any]]:
    """Return the events of a transcription of 1.01 s with these segments."""
    form = [("model", "whisper-1"), ("stream", "true"), *texts]
    models = ServedModels([ServedModel(names=("whisper-base",))])
    writer = EventWriter(parse_parameters(form, task="transcribe", models=models))
    transcription = Transcription(task="transcribe", language="en", duration_s=1.01, segments=tuple(segments))
    return check(
        [event for segment in segments for event in writer.segment(segment)] + [writer.done(transcription)]
    )


def check(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    checked = list(events)
    for event in checked:
        check_schema(event, "CreateTranscriptionResponseStreamEvent")
    return checked


def deltas(events: Iterable[dict[str, Any]]) -> list[str]:
    return [event["delta"] for event in events if event["type"] == "transcript.text.delta"]


def post(url: str, wav: bytes, **fields: str) -> requests.Response:
    form = {"model": "whisper-1", "stream": "true", **fields}
    return requests.post(url + PATH, files={"file": wav}, data=form, stream=True, timeout=DEADLINE_S)


def received(answer: requests.Response) -> list[dict[str, Any]]:
    """Return the events' documents, each of whose types is also the event's name."""
    documents = []
    for event in answer.content.decode().strip().split("\n\n"):
        name, data = event.split("\n")
        documents.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {documents[-1].get('type', 'error')}"
    return documents


def test_segments_show_their_language_where_it_is_known() -> None:
    segments = [make_segment(" Ja.", end=0.5, language="de"), make_segment(" Yes.", start=0.5, end=1.0)]
    events = events_of(segments, ("response_format", "verbose_json"))
    shown = [event.get("language") for event in events if event["type"] == "transcript.text.segment"]
    assert shown == ["german", None]


def test_two_segments_give_two_deltas_and_a_done_event() -> None:
    assert events_of(SEGMENTS) == [
        {"type": "transcript.text.delta", "delta": "One,"},
        {"type": "transcript.text.delta", "delta": " two."},
        {
            "type": "transcript.text.done",
            "text": "One, two.",
            "segments": [
                {"id": 0, "start": 0.0, "end": 0.5, "text": " One,"},
                {"id": 1, "start": 0.5, "end": 1.0, "text": " two."},
            ],
            "usage": {
                "type": "tokens",
                "input_tokens": 51,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 51},
                "output_tokens": 4,
                "total_tokens": 55,
            },
        },
    ]


@pytest.mark.parametrize(
    "texts",
    [[], [" a"], ["a ", " b "], ["  ", " a", "  ", "b"], [" a", "  "], ["\n a\n", "\n"], ["你", "好"]],
    ids=repr,
)
def test_the_deltas_joined_are_the_text(texts: list[str]) -> None:
    events = events_of([make_segment(text, end=1.0) for text in texts])
    assert "".join(deltas(events)) == events[-1]["text"] == "".join(texts).strip()


def test_segments_are_shown_in_verbose_json_only() -> None:
    segment = events_of(SEGMENTS, ("response_format", "verbose_json"))[3]
    assert segment == {
        "type": "transcript.text.segment",
        "id": "seg_1",
        "start": 0.5,
        "end": 1.0,
        "text": " two.",
        "speaker": "",
    }
    for response_format in ("json", "text"):
        assert len(events_of(SEGMENTS, ("response_format", response_format))) == 3


@pytest.mark.parametrize(("response_format", "n_segments"), [("json", 2), ("verbose_json", 2), ("text", None)])
def test_the_last_event_has_the_segments_unless_text_alone_is_asked_for(
    response_format: str, n_segments: int | None
) -> None:
    """Subtitle Edit asks for json, and reads segments in the last event only."""
    last = events_of(SEGMENTS, ("response_format", response_format))[-1]
    assert (len(last["segments"]) if "segments" in last else None) == n_segments


def test_words_are_in_the_segments() -> None:
    spoken = make_segment(" One", end=0.5, words=[Word(word=" One", start=0.1, end=0.4, probability=1.0)])
    fields = [("response_format", "verbose_json"), ("timestamp_granularities[]", "word")]
    assert events_of([spoken], *fields)[1]["words"] == [
        {"word": "One", "start": 0.1, "end": 0.4, "probability": 1.0}
    ]


def test_the_last_event_of_verbose_json_has_the_language_and_the_duration() -> None:
    assert {"language", "duration"} <= events_of(SEGMENTS, ("response_format", "verbose_json"))[-1].keys()
    assert not {"language", "duration"} & events_of(SEGMENTS)[-1].keys()


def test_logprobs_are_in_deltas_and_at_the_end() -> None:
    segment = Segment(
        start=0.0,
        end=1.0,
        text=" a",
        tokens=(1,),
        window=SEGMENTS[0].window,
        token_logprobs=(TokenLogprob(token=b" a", logprob=-0.5),),
    )
    logprobs = [{"token": " a", "bytes": [32, 97], "logprob": -0.5}]
    events = events_of([segment, segment], ("include[]", "logprobs"))
    assert [event["logprobs"] for event in events] == [logprobs, logprobs, logprobs * 2]


def test_a_stream_over_a_socket(serve: Serve, wav: bytes) -> None:
    answer = post(serve(FakeTranscriber(segments=SEGMENTS)), wav)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-request-id"]
    events = check(received(answer))
    assert deltas(events) == ["One,", " two."]
    assert events[-1]["text"] == "One, two."


def test_an_event_comes_before_the_next_is_known(serve: Serve, wav: bytes) -> None:
    fake = FakeTranscriber(segments=SEGMENTS)
    fake.hold(after=1)
    lines = post(serve(fake), wav).iter_lines()
    assert next(lines) == b"event: transcript.text.delta"
    assert json.loads(next(lines).removeprefix(b"data: "))["delta"] == "One,"
    assert fake.n_running == 1
    fake.release()
    assert b"".join(lines).count(b"data: ") == 2


@pytest.mark.parametrize(
    ("failure", "status"),
    [(InvalidParameter("no"), 400), (EngineError("broken"), 500), (EngineUnavailable("gone"), 503)],
)
def test_a_failure_before_the_first_event_has_its_status(
    serve: Serve, wav: bytes, failure: AsrError, status: int
) -> None:
    answer = post(serve(FakeTranscriber(failure=failure)), wav)
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, str(failure))


def test_a_file_other_than_audio_has_its_status(url: str) -> None:
    assert post(url, b"no audio").status_code == 400


@pytest.mark.parametrize(
    ("failure", "message"),
    [(EngineError("the model failed"), "the model failed"), (ZeroDivisionError("secret"), "the server failed")],
)
def test_a_later_failure_is_the_last_event(serve: Serve, wav: bytes, failure: Exception, message: str) -> None:
    url = serve(FakeTranscriber(segments=SEGMENTS, late_failure=failure), max_concurrent_requests=1)
    answer = post(url, wav)
    assert answer.status_code == 200
    *events, last = received(answer)
    assert deltas(check(events)) == ["One,", " two."]
    check_schema(last, "ErrorResponse")
    assert message in last["error"]["message"]
    assert "secret" not in answer.text
    wait_for(lambda: post(url, wav).status_code == 200)


class Loading(FakeTranscriber):
    """Its model is never there."""

    async def stream(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> TranscriptionStream:
        try:
            await asyncio.Event().wait()
        finally:
            reader.close()
        raise AssertionError("the model has come")


def test_a_stream_whose_model_does_not_come_ends(serve: Serve, wav: bytes) -> None:
    """It kept its permit although its client had left and its time was over."""
    url = serve(Loading(), request_timeout_s=0.3, max_concurrent_requests=1)
    assert post(url, wav).status_code == 504
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            url + PATH,
            files={"file": wav},
            data={"model": "whisper-1", "stream": "true"},
            timeout=0.1,
        )
    wait_for(lambda: post(url, wav).status_code == 504)


def test_a_stream_that_takes_too_long_ends_with_an_error(serve: Serve, wav: bytes) -> None:
    fake = FakeTranscriber(segments=SEGMENTS)
    fake.hold(after=1)
    answer = post(serve(fake, request_timeout_s=1.0), wav)
    *events, last = received(answer)
    assert deltas(events) == ["One,"]
    assert "allowed: 1 s from the audio's arrival" in last["error"]["message"]
    wait_for(lambda: fake.n_cancelled == 1)


def test_the_permit_is_held_until_the_stream_ends(serve: Serve, wav: bytes) -> None:
    fake = FakeTranscriber(segments=SEGMENTS)
    fake.hold(after=1)
    url = serve(fake, max_concurrent_requests=1)
    streaming = post(url, wav)
    assert post(url, wav).status_code == 429
    fake.release()
    assert len(received(streaming)) == 3
    wait_for(lambda: post(url, wav).status_code == 200)


@pytest.mark.parametrize("after", [0, 1], ids=["before the first event", "between events"])
def test_a_client_that_leaves_cancels_the_work_and_releases_its_permit(
    serve: Serve, wav: bytes, after: int
) -> None:
    fake = FakeTranscriber(segments=SEGMENTS)
    fake.hold(after=after)
    url = serve(fake, max_concurrent_requests=1)
    form = requests.Request(
        "POST", url + PATH, files={"file": wav}, data={"model": "whisper-1", "stream": "true"}
    ).prepare()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n" + "".join(f"{k}: {v}\r\n" for k, v in form.headers.items())
    assert isinstance(form.body, bytes)
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), DEADLINE_S) as connection:
        connection.sendall(head.encode() + b"\r\n" + form.body)
        wait_for(lambda: fake.n_running == 1)
        while after and b"One," not in connection.recv(65_536):
            pass
    wait_for(lambda: fake.n_cancelled == 1)
    assert fake.n_running == 0
    fake.release()
    wait_for(lambda: post(url, wav).status_code == 200)
