"""Deepgram's live API on sessions that are real but for what they hear."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.transcription.live.options import ServerVad
from hf_asr_endpoint.types import Health
from tests.api.conftest import DEADLINE_S, make_services, serve_app, wait_for
from tests.api.realtime.conftest import pcm
from tests.api.test_access import KEY, access
from tests.fakes import FakeTranscriber
from tests.transcription.live.simulation import script

RATE = 16_000
Event = dict[str, Any]
Listen = Callable[..., ClientConnection]


@pytest.fixture
def transcriber() -> FakeTranscriber:
    fake = FakeTranscriber()
    fake.live_words = script(40)
    return fake


@pytest.fixture
def listen(transcriber: FakeTranscriber) -> Iterator[Listen]:
    with ExitStack() as stack:
        urls: list[str] = []

        def start(
            query: dict[str, Any] | None = None,
            *,
            keys: Access | None = None,
            headers: dict[str, str] | None = None,
            subprotocols: list[str] | None = None,
        ) -> ClientConnection:
            if not urls:
                urls.append(stack.enter_context(serve_app(create_app(make_services(transcriber, access=keys)))))
            given = {"model": "nova-3", "encoding": "linear16", "sample_rate": RATE} | (query or {})
            fields = urlencode({name: value for name, value in given.items() if value is not None}, doseq=True)
            return stack.enter_context(
                connect(
                    f"{urls[0].replace('http', 'ws')}/v1/listen?{fields}",
                    additional_headers=headers,
                    subprotocols=[Subprotocol(name) for name in subprotocols or ()] or None,
                )
            )

        yield start


def speak(socket: ClientConnection, seconds: float, *, level: float = 0.5) -> None:
    data = pcm(seconds, level=level, rate=RATE)
    for begin in range(0, len(data), RATE):
        socket.send(data[begin : begin + RATE])


def receive(socket: ClientConnection) -> Event:
    event: Event = json.loads(socket.recv(timeout=DEADLINE_S))
    return event


def until(socket: ClientConnection, stop: Callable[[Event], bool]) -> list[Event]:
    events = [receive(socket)]
    while not stop(events[-1]):
        events.append(receive(socket))
    return events


def is_final(event: Event) -> bool:
    return event["type"] == "Results" and bool(event["is_final"])


def text_of(event: Event) -> str:
    return str(event["channel"]["alternatives"][0]["transcript"])


def test_interims_grow_into_the_final_result(listen: Listen) -> None:
    socket = listen({"interim_results": "true", "vad_events": "true"})
    speak(socket, 4.0)
    speak(socket, 1.0, level=0.001)
    started, *interims, final = until(socket, is_final)
    assert started == {"type": "SpeechStarted", "channel": [0, 1], "timestamp": 0.0}
    texts = [text_of(event) for event in interims]
    assert all(longer.startswith(shorter) for shorter, longer in itertools.pairwise(texts))
    assert (final["speech_final"], final["from_finalize"], final["channel_index"]) == (True, False, [0, 1])
    alternative = final["channel"]["alternatives"][0]
    assert alternative["transcript"].split() == [word["punctuated_word"] for word in alternative["words"]]
    assert alternative["words"][0] == {
        "word": "w0",
        "start": 0.0,
        "end": 0.45,
        "confidence": 0.3,
        "punctuated_word": "w0",
    }
    assert final["metadata"]["model_info"]["name"]


def test_without_interims_only_final_results_come(listen: Listen) -> None:
    socket = listen()
    speak(socket, 4.0)
    speak(socket, 1.0, level=0.001)
    assert is_final(receive(socket))


def test_finalize_ends_a_result(listen: Listen) -> None:
    socket = listen()
    speak(socket, 2.0)
    socket.send(json.dumps({"type": "KeepAlive"}))
    socket.send(json.dumps({"type": "Finalize"}))
    final = receive(socket)
    assert (final["from_finalize"], final["speech_final"]) == (True, False)
    assert text_of(final) == "w0 w1 w2 w3"


def test_close_stream_sends_what_is_left_and_the_metadata(listen: Listen) -> None:
    socket = listen()
    speak(socket, 2.0)
    socket.send(json.dumps({"type": "CloseStream"}))
    final, metadata = receive(socket), receive(socket)
    assert text_of(final) == "w0 w1 w2 w3"
    assert (metadata["type"], metadata["duration"], metadata["channels"]) == ("Metadata", 2.0, 1)
    with pytest.raises(ConnectionClosed) as caught:
        receive(socket)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1000


def test_an_utterance_ends_after_its_silence(listen: Listen) -> None:
    socket = listen({"utterance_end_ms": 1000})
    speak(socket, 1.0)
    speak(socket, 2.0, level=0.001)
    final, end = receive(socket), receive(socket)
    last = final["channel"]["alternatives"][0]["words"][-1]
    assert end == {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": last["end"]}


def test_the_query_reaches_the_session(listen: Listen, transcriber: FakeTranscriber) -> None:
    socket = listen(
        {
            "encoding": "mulaw",
            "sample_rate": 8000,
            "language": "de",
            "keyterm": ["Ohm", "Volt"],
            "endpointing": 700,
            "punctuate": "true",
        }
    )
    socket.send(b"\xff" * 800)
    wait_for(lambda: bool(transcriber.live_options))
    [options] = transcriber.live_options
    assert (options.audio.encoding, options.audio.sample_rate, options.language) == ("ULAW", 8000, "de")
    assert options.hotwords == "Ohm, Volt"
    assert isinstance(options.turn_detection, ServerVad)
    assert options.turn_detection.silence_duration_s == 0.7


def test_what_pipecat_sends_by_default_is_accepted(listen: Listen) -> None:
    flags = ("detect_entities", "diarize", "dictation", "numerals", "smart_format", "multichannel")
    listen({**dict.fromkeys(flags, "false"), "profanity_filter": "true", "punctuate": "true", "channels": 1})


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"encoding": None}, "encoding is absent"),
        ({"encoding": "opus"}, "encoding is 'opus'; allowed: linear16, mulaw or alaw"),
        ({"sample_rate": 1}, "sample_rate is '1'; allowed: 8000 to 48000"),
        ({"diarize": "true"}, "diarize is 'true'"),
        ({"redact": "pci"}, "redact is not supported here"),
        ({"endpointing": 99_999}, "endpointing is 99999"),
        ({"modell": "nova-3"}, "there is no parameter 'modell'; did you mean 'model'"),
        ({"language": "klingon"}, "klingon"),
    ],
)
def test_a_wrong_query_is_refused_before_the_upgrade(listen: Listen, query: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        listen(query)
    body = json.loads(caught.value.response.body)
    assert caught.value.response.status_code == 400
    assert message in body["err_msg"]


def test_a_model_without_live_sessions_is_refused_before_the_upgrade(
    listen: Listen, transcriber: FakeTranscriber
) -> None:
    transcriber._health = Health(state="ready", no_live_sessions="the model has no live sessions")
    with pytest.raises(InvalidStatus) as caught:
        listen()
    assert caught.value.response.status_code == 400
    assert json.loads(caught.value.response.body)["err_msg"] == "the model has no live sessions"


def test_keys_come_as_deepgrams_clients_send_them(listen: Listen) -> None:
    with pytest.raises(InvalidStatus) as caught:
        listen(keys=access())
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body)["err_code"] == "INVALID_AUTH"
    listen(headers={"Authorization": f"Token {KEY}"})
    assert listen(subprotocols=["token", KEY]).subprotocol == "token"


def test_an_unknown_command_is_told(listen: Listen) -> None:
    socket = listen()
    socket.send("{}")
    assert receive(socket)["type"] == "Error"
