"""Events that cannot be followed: each is told what is wrong, and nothing changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.realtime.conftest import Client, pcm


def test_a_commit_without_audio_is_refused_in_openais_words(client: Client) -> None:
    for _ in range(2):
        client.send("input_audio_buffer.commit", event_id="last")
        error = client.error()
        assert error["code"] == "input_audio_buffer_commit_empty"
        assert error["event_id"] == "last"
        assert "Expected at least 100ms of audio, but buffer only has" in error["message"]
        client.append(pcm(0.05))


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"turn_detection": {"type": "server_vad", "threshold": 2}}, "invalid_value", "turn_detection.threshold"),
        ({"turn_detection": {"threshold": 0.5}}, "missing_required_parameter", "turn_detection"),
        ({"turn_detection": {"type": "server_vad", "eager": 1}}, "unknown_parameter", "turn_detection.eager"),
        ({"format": {"type": "audio/pcm", "rate": 1}}, "invalid_value", "format.rate"),
        ({"noise_reduction": {"type": "near_field"}}, "unsupported_value", "noise_reduction"),
        ({"transcription": {"model": "other"}}, "model_not_found", None),
        ({"transcription": {"model": "gpt-4o-transcribe-diarize"}}, "unsupported_value", "transcription.model"),
        ({"transcription": {"language": "klingon"}}, "invalid_value", "transcription.language"),
        ({"transcription": {"delay": "none"}}, "invalid_value", "transcription.delay"),
        ({"voice": "alloy"}, "unknown_parameter", "voice"),
    ],
)
def test_a_wrong_field_refuses_the_whole_update(
    client: Client, fields: dict[str, Any], code: str, param: str | None
) -> None:
    session = {"audio": {"input": {"transcription": {"prompt": "kept out"}, **fields}}}
    client.send("session.update", session=session, event_id="e7")
    error = client.error()
    assert (error["code"], error["event_id"]) == (code, "e7")
    assert error["param"] == (None if param is None else f"session.audio.input.{param}")
    assert client.update()["session"]["audio"]["input"]["transcription"]["prompt"] == ""


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("{", None, None),
        ("[]", None, None),
        ('{"type": "response.create"}', "invalid_value", "type"),
        ('{"type": "input_audio_buffer.append"}', "missing_required_parameter", "audio"),
        ('{"type": "input_audio_buffer.append", "audio": "€"}', "invalid_value", "audio"),
        ('{"type": "input_audio_buffer.append", "audio": [1]}', "invalid_value", "audio"),
        ('{"type": "input_audio_buffer.clear", "all": true}', "unknown_parameter", "all"),
        ('{"type": "input_audio_buffer.clear", "event_id": 5}', "invalid_value", "event_id"),
        ('{"type": "input_audio_buffer.clear", "event_id": "\\ud800"}', None, None),
        ('{"type": "input_audio_buffer.clear", "\\ud800": 1}', None, None),
        ('{"type": "session.update", "session": {"\\ud800": 1}}', None, None),
        ('{"type": "transcription_session.update"}', "beta_api_shape_disabled", None),
        ('{"type": "session.update", "session": {"a": [' + "[" * 100_000, "invalid_value", None),
    ],
)
def test_a_wrong_event_leaves_the_session_open(
    client: Client, text: str, code: str | None, param: str | None
) -> None:
    client.socket.send(text)
    error = client.error()
    assert (error["code"], error["param"]) == (code, param)
    client.send("input_audio_buffer.clear")
    assert client.receive()["type"] == "input_audio_buffer.cleared"


def test_a_binary_frame_is_refused(client: Client) -> None:
    client.socket.send(b"\x00\x01")
    assert "binary" in client.error()["message"]
