"""What a session answers, event by event."""

from __future__ import annotations

import base64
import math

import pytest
from websockets.exceptions import ConnectionClosed

from hf_asr_endpoint.errors import EngineError, EngineUnavailable
from hf_asr_endpoint.transcription.live.options import SemanticVad, ServerVad
from hf_asr_endpoint.types import TokenLogprob
from tests.api.conftest import wait_for
from tests.api.realtime.conftest import Client, Connect, Event, pcm
from tests.fakes import FakeTranscriber
from tests.transcription.live.simulation import LiveWord, word

QUIET = 0.001


def types(events: list[Event]) -> list[str]:
    return [event["type"].removeprefix("conversation.item.").removeprefix("input_audio_") for event in events]


def test_a_turn_comes_from_its_beginning_to_its_text(client: Client) -> None:
    client.append(pcm(1.0) + pcm(1.0, level=QUIET))
    events = client.receive_until("transcription.completed")
    texts = [event for event in events if event["type"].endswith("delta")]
    others = [event for event in events if not event["type"].endswith("delta")]
    assert types(others) == [
        "buffer.speech_started",
        "buffer.speech_stopped",
        "buffer.committed",
        "added",
        "done",
        "transcription.completed",
    ]
    started, stopped, committed, added, _, completed = others
    item = started["item_id"]
    assert {event["item_id"] for event in (stopped, committed, completed, *texts)} == {item}
    assert added["item"]["id"] == item
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    assert (started["audio_start_ms"], committed["previous_item_id"]) == (0, None)
    assert stopped["audio_end_ms"] == pytest.approx(1_500, abs=100)
    assert "".join(event["delta"] for event in texts) == completed["transcript"] == "w0 w1 w2"
    assert completed["usage"] == {"type": "duration", "seconds": pytest.approx(1.5, abs=0.1)}
    assert completed["languages"] == [{"code": "en"}]
    client.append(pcm(1.0) + pcm(1.0, level=QUIET))
    following = client.receive_until("buffer.committed")[-1]
    assert following["previous_item_id"] == item


def test_the_session_is_shown_and_updated_by_its_fields(client: Client) -> None:
    session = client.update(transcription={"language": "de", "prompt": "Namen"})["session"]
    assert session["type"] == "transcription"
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
    session = client.update(turn_detection=None, transcription={"keywords": ["Ohm"]})["session"]
    shown = session["audio"]["input"]
    assert shown["turn_detection"] is None
    assert shown["transcription"] | {"model": ""} == {
        "model": "",
        "language": "de",
        "prompt": "Namen",
        "keywords": ["Ohm"],
    }
    assert client.update(transcription=None)["session"]["audio"]["input"]["transcription"]["language"] is None


def test_fields_reach_the_transcriber(client: Client, transcriber: FakeTranscriber) -> None:
    client.update(
        format={"type": "audio/pcmu"},
        transcription={
            "model": "gpt-realtime-whisper",
            "language": "German",
            "delay": "high",
            "keywords": ["a", "b"],
        },
        turn_detection={
            "type": "server_vad",
            "threshold": 0.7,
            "silence_duration_ms": 200,
            "idle_timeout_ms": 5000,
        },
    )
    client.append(b"\xff" * 100)
    wait_for(lambda: bool(transcriber.live_options))
    [options] = transcriber.live_options
    assert (options.audio.encoding, options.audio.sample_rate) == ("ULAW", 8_000)
    assert options.turn_detection == ServerVad(threshold=0.7, silence_duration_s=0.2, idle_timeout_s=5.0)
    assert (options.language, options.delay, options.hotwords) == ("de", "high", "a, b")


@pytest.mark.parametrize(("eagerness", "wait_s"), [("low", 8.0), ("auto", 4.0), ("high", 2.0)])
def test_eagerness_is_the_longest_wait(
    client: Client, transcriber: FakeTranscriber, eagerness: str, wait_s: float
) -> None:
    client.update(turn_detection={"type": "semantic_vad", "eagerness": eagerness})
    client.append(pcm(0.1))
    wait_for(lambda: bool(transcriber.live_options))
    assert transcriber.live_options[0].turn_detection == SemanticVad(max_wait_s=wait_s)


def test_models_whose_turns_the_client_ends_have_no_turn_detection(client: Client) -> None:
    assert (
        client.update(transcription={"model": "gpt-realtime-whisper"})["session"]["audio"]["input"][
            "turn_detection"
        ]
        is None
    )
    kept = client.update(turn_detection={"type": "semantic_vad"}, transcription={"model": "gpt-live-transcribe"})
    assert kept["session"]["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"


def test_without_turn_detection_one_commit_gives_one_text(client: Client) -> None:
    client.update(turn_detection=None)
    client.append(pcm(2.0) + pcm(1.0, level=QUIET) + pcm(2.0))
    client.send("input_audio_buffer.commit", event_id="mine")
    events = client.receive_until("completed")
    assert types(events).count("buffer.committed") == 1
    assert events[-1]["transcript"] == "w0 w1 w2 w3 w4 w5 w6 w7 w8 w9"
    client.append(pcm(0.2, level=QUIET))
    client.send("input_audio_buffer.commit")
    assert client.receive_until("completed")[-1]["transcript"] == ""


def test_other_formats_and_rates_are_read(client: Client) -> None:
    client.update(turn_detection=None, format={"type": "audio/pcm", "rate": 16_000})
    client.append(pcm(1.0, rate=16_000))
    client.update(format={"type": "audio/pcma"})
    client.append(b"\x8f" * 8_000)
    client.send("input_audio_buffer.commit")
    completed = client.receive_until("completed")[-1]
    assert completed["usage"]["seconds"] == pytest.approx(2.0, abs=0.01)


def test_an_odd_byte_is_carried_to_the_next_append(client: Client) -> None:
    client.update(turn_detection=None)
    data = pcm(1.0)
    for begin in range(0, len(data), 9_999):
        client.append(data[begin : begin + 9_999])
    client.send("input_audio_buffer.commit")
    completed = client.receive_until("completed")[-1]
    assert completed["usage"]["seconds"] == pytest.approx(1.0, abs=0.01)
    assert completed["transcript"] == "w0 w1"


def test_logprobs_and_words_come_when_they_are_included(client: Client, transcriber: FakeTranscriber) -> None:
    spoken = word("yes", 0.1, 0.5, probability=0.9)
    logprobs = (TokenLogprob(token=b" y", logprob=-0.25), TokenLogprob(token=b"es", logprob=-0.5))
    transcriber.live_words = [LiveWord(word=spoken.word, tokens=(1, 2), logprobs=logprobs)]
    names = [f"item.input_audio_transcription.{name}" for name in ("logprobs", "words")]
    client.send("session.update", session={"include": names})
    assert client.receive()["session"]["include"] == names
    client.append(pcm(1.0) + pcm(1.0, level=QUIET))
    events = client.receive_until("completed")
    delta = next(event for event in events if event["type"].endswith("delta"))
    for event in (delta, events[-1]):
        assert event["logprobs"] == [
            {"token": " y", "logprob": -0.25, "bytes": [32, 121]},
            {"token": "es", "logprob": -0.5, "bytes": [101, 115]},
        ]
        assert event["words"] == [{"word": "yes", "start": 0.1, "end": 0.5, "probability": 0.9}]
    client.send("session.update", session={"include": None})
    assert client.receive_until("session.updated")[-1]["session"]["include"] is None


def test_words_that_are_not_certain_come_when_interim_is_included(client: Client) -> None:
    names = [f"item.input_audio_transcription.{name}" for name in ("interim", "words")]
    client.send("session.update", session={"include": names})
    assert client.receive()["session"]["include"] == names
    client.append(pcm(1.0))
    events = client.receive_until("interim")
    assert not [event for event in events if event["type"].endswith("delta")]
    assert events[-1]["type"] == "conversation.item.input_audio_transcription.interim"
    assert (events[-1]["item_id"], events[-1]["content_index"]) == (events[0]["item_id"], 0)
    assert events[-1]["text"].split() == [word["word"] for word in events[-1]["words"]]
    client.append(pcm(1.0) + pcm(1.0, level=QUIET))
    events += client.receive_until("completed")
    text, told = "", set()
    for event in events:
        if event["type"].endswith("delta"):
            text += event["delta"]
        elif event["type"].endswith("interim"):
            told.add(text + event["text"])
    assert text == events[-1]["transcript"]
    assert all(text.startswith(one) for one in told)


def test_clear_is_acknowledged_in_every_state(client: Client) -> None:
    client.send("input_audio_buffer.clear")
    assert client.receive()["type"] == "input_audio_buffer.cleared"
    client.append(pcm(0.5, level=QUIET))
    client.send("input_audio_buffer.clear")
    assert client.receive()["type"] == "input_audio_buffer.cleared"
    client.send("input_audio_buffer.commit")
    assert client.error()["code"] == "input_audio_buffer_commit_empty"


def test_a_minute_in_one_event_is_decoded_in_pieces(client: Client) -> None:
    client.update(turn_detection=None)
    client.send("input_audio_buffer.append", audio=base64.b64encode(pcm(60.0)).decode())
    client.send("input_audio_buffer.commit")
    completed = client.receive_until("completed")[-1]
    assert completed["usage"]["seconds"] == pytest.approx(60.0, abs=0.1)
    assert len(completed["transcript"].split()) == 40


def test_the_model_stays_once_there_was_audio(client: Client) -> None:
    client.append(pcm(0.2, level=QUIET))
    assert client.update(transcription={"model": "whisper-1"})["type"] == "session.updated"


def test_a_turn_that_fails_does_not_end_the_session(client: Client, transcriber: FakeTranscriber) -> None:
    transcriber.live_decoder.failure = EngineError("the model failed")
    client.append(pcm(1.0) + pcm(1.0, level=QUIET))
    failed = client.receive_until("failed")[-1]
    assert failed["error"]["message"] == "the model failed"
    assert (failed["error"]["type"], failed["content_index"]) == ("server_error", 0)
    transcriber.live_decoder.failure = None
    client.append(pcm(1.0) + pcm(1.0, level=QUIET))
    assert client.receive_until("completed")[-1]["transcript"]


def test_a_session_that_is_lost_says_so_and_closes(client: Client, transcriber: FakeTranscriber) -> None:
    client.append(pcm(0.2, level=QUIET))
    wait_for(lambda: bool(transcriber.live_streams))
    transcriber.live_streams[0].close(EngineUnavailable("the engine has stopped"))
    event = client.receive()
    assert (event["type"], event["error"]["message"]) == ("error", "the engine has stopped")
    with pytest.raises(ConnectionClosed) as caught:
        client.receive()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1011


def test_a_client_that_leaves_has_its_passes_cancelled(client: Client, transcriber: FakeTranscriber) -> None:
    transcriber.live_decoder.hold()
    client.append(pcm(2.0))
    wait_for(lambda: bool(transcriber.live_decoder.jobs))
    client.socket.close()
    wait_for(lambda: all(job.token.is_cancelled for job in transcriber.live_decoder.jobs))


def test_the_socket_is_not_read_beyond_the_audio_that_may_wait(
    open_client: Connect, transcriber: FakeTranscriber
) -> None:
    client = open_client(max_waiting_audio_s=5.0)
    client.update(turn_detection=None)
    transcriber.live_decoder.hold()
    client.append(pcm(80.0), piece_s=2.0)
    client.send("input_audio_buffer.commit")
    wait_for(lambda: len(transcriber.live_decoder.jobs) >= 1)
    transcriber.live_decoder.release()
    completed = client.receive_until("completed")[-1]
    assert completed["usage"]["seconds"] == pytest.approx(80.0, abs=0.1)
    assert math.isclose(len(completed["transcript"].split()), 40)


@pytest.mark.parametrize("limits", [{"idle_timeout_s": 0.3}, {"max_session_s": 0.3}])
def test_a_session_ends_when_its_time_is_over(open_client: Connect, limits: dict[str, float]) -> None:
    client = open_client(**limits)
    client.append(pcm(0.2))
    events = client.receive_until("error")
    assert events[-1]["error"]["code"] == "session_expired"
    with pytest.raises(ConnectionClosed) as caught:
        client.receive()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001
