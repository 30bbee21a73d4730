"""Before a session: who may open one, and what the others are told. Client secrets."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests
from websockets.exceptions import InvalidStatus

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.realtime.configuration import SessionConfiguration
from hf_asr_endpoint.api.realtime.secrets import ClientSecrets
from hf_asr_endpoint.types import Health
from tests.api.conftest import DEADLINE_S
from tests.api.realtime.conftest import PATH, Client, Connect, pcm
from tests.api.test_access import KEY, access
from tests.fakes import FakeClock, FakeTranscriber

SUBPROTOCOLS = ["realtime", f"openai-insecure-api-key.{KEY}", "openai-project.p"]


def refused(open_client: Connect, path: str = PATH, **how: Any) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return the status, the error and the headers of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as caught:
        open_client(path, **how)
    response = caught.value.response
    return response.status_code, json.loads(response.body)["error"], dict(response.headers)


def url_of(client: Client) -> str:
    host, port = client.socket.remote_address[:2]
    return f"http://{host}:{port}"


@pytest.mark.parametrize(
    "path", ["/v1/realtime", "/openai/v1/realtime/", "/realtime", "//v1/realtime?model=whisper-1"]
)
def test_every_path_opens_a_session(open_client: Connect, path: str) -> None:
    assert open_client(path).socket.subprotocol is None


def test_the_subprotocol_is_answered(open_client: Connect) -> None:
    assert open_client(subprotocols=["realtime", "openai-insecure-api-key.any"]).socket.subprotocol == "realtime"


def test_the_model_of_the_url_is_the_sessions(open_client: Connect) -> None:
    client = open_client("/v1/realtime?model=gpt-realtime-whisper", greets=False)
    session = client.receive()["session"]
    assert session["id"].startswith("sess_")
    assert session["object"] == "realtime.transcription_session"
    assert session["expires_at"] == pytest.approx(time.time() + 3600, abs=10)
    assert session["audio"]["input"]["transcription"]["model"] == "gpt-realtime-whisper"
    assert session["audio"]["input"]["turn_detection"] is None


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/realtime?model=other", 404, "model_not_found"),
        ("/v1/realtime?intent=conversation", 400, "invalid_value"),
        ("/v1/realtime?call_id=rtc_1", 400, "unsupported_parameter"),
        ("/v1/realtimes", 404, "unknown_url"),
    ],
)
def test_a_wrong_address_is_refused_before_the_upgrade(
    open_client: Connect, path: str, status: int, code: str
) -> None:
    found, error, headers = refused(open_client, path)
    assert (found, error["code"]) == (status, code)
    assert headers["x-request-id"]


def test_one_session_too_many_is_refused_until_another_ends(open_client: Connect) -> None:
    first = open_client(max_sessions=1)
    status, error, headers = refused(open_client)
    assert (status, error["code"], headers["retry-after"]) == (429, "rate_limit_exceeded", "10")
    first.socket.close()
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            open_client()
            return
        except InvalidStatus:
            time.sleep(0.02)  # The server may not have noticed yet.
    pytest.fail("the place is still taken")


def test_a_server_without_a_model_refuses(open_client: Connect, transcriber: FakeTranscriber) -> None:
    transcriber._health = Health(state="failed", detail="no weights")
    status, error, _ = refused(open_client)
    assert (status, error["message"]) == (503, "no weights")


NO_LIVE = Health(state="ready", no_live_sessions="the model has no live sessions")


def test_a_model_without_live_sessions_is_refused_before_the_upgrade(
    open_client: Connect, transcriber: FakeTranscriber
) -> None:
    """It was refused with each piece of audio, in a session that stayed open."""
    transcriber._health = NO_LIVE
    status, error, _ = refused(open_client)
    assert (status, error["param"], error["message"]) == (400, "model", NO_LIVE.no_live_sessions)


def test_a_session_may_not_change_to_a_model_without_live_sessions(
    open_client: Connect, transcriber: FakeTranscriber
) -> None:
    client = open_client()
    transcriber._health = NO_LIVE
    assert client.update(transcription={"model": "whisper-1"})["error"]["message"] == NO_LIVE.no_live_sessions
    url = f"{url_of(client)}/v1/realtime"
    for response in (requests.get(url, timeout=10), requests.post(f"{url}/client_secrets", timeout=10)):
        assert (response.status_code, response.json()["error"]["message"]) == (400, NO_LIVE.no_live_sessions)


def test_a_key_is_asked_for(open_client: Connect, transcriber: FakeTranscriber) -> None:
    status, error, headers = refused(open_client, access=access())
    assert (status, error["code"], headers["www-authenticate"]) == (401, "invalid_api_key", "Bearer")
    assert refused(open_client, subprotocols=["realtime", "openai-insecure-api-key.wrong"])[0] == 401
    open_client(headers={"Authorization": f"Bearer {KEY}"})
    client = open_client(subprotocols=SUBPROTOCOLS)
    client.append(pcm(0.6))
    client.receive()
    assert transcriber.callers[0].owner == "anna"


def test_pages_of_other_sites_need_a_key(open_client: Connect) -> None:
    status, error, _ = refused(open_client, headers={"Origin": "https://evil.example"})
    assert status == 401
    assert "evil.example" in error["message"]


def test_pages_with_a_key_may_come_from_anywhere(open_client: Connect) -> None:
    open_client(access=access(), subprotocols=SUBPROTOCOLS, headers={"Origin": "https://app.example"})


def test_a_client_secret_opens_sessions_as_they_were_configured(
    open_client: Connect, transcriber: FakeTranscriber
) -> None:
    keys: Access = access()
    url = url_of(open_client(access=keys, subprotocols=SUBPROTOCOLS))
    answer = requests.post(
        f"{url}/v1/realtime/client_secrets",
        headers={"Authorization": f"Bearer {KEY}"},
        json={
            "session": {"type": "transcription", "audio": {"input": {"transcription": {"language": "fr"}}}},
            "expires_after": {"anchor": "created_at", "seconds": 60},
        },
        timeout=10,
    ).json()
    assert answer["value"].startswith("ek_")
    assert answer["expires_at"] == pytest.approx(time.time() + 60, abs=5)
    assert answer["session"]["audio"]["input"]["transcription"]["language"] == "fr"
    for _ in range(2):
        client = open_client(subprotocols=["realtime", f"openai-insecure-api-key.{answer['value']}"], greets=False)
        assert client.receive()["session"]["audio"]["input"]["transcription"]["language"] == "fr"
    client.append(pcm(0.6))
    client.receive()
    assert transcriber.callers[-1].owner == "anna"


def test_an_unknown_client_secret_is_refused_without_keys_too(open_client: Connect) -> None:
    status, error, _ = refused(open_client, headers={"Authorization": "Bearer ek_unknown"})
    assert status == 401
    assert "expired" in error["message"]


def test_a_client_secret_expires() -> None:
    clock = FakeClock()
    secrets = ClientSecrets(now=clock)
    value, _ = secrets.create(SessionConfiguration(), lifetime_s=10, key=None)
    assert secrets.find(value) is not None
    clock.seconds += 11
    assert secrets.find(value) is None


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("client_secrets", {"expires_after": {"seconds": 1}}, "expires_after.seconds"),
        ("client_secrets", {"session": {"type": "realtime"}}, "session.type"),
        ("client_secrets", {"lifetime": 5}, "lifetime"),
        ("transcription_sessions", {}, None),
        ("calls", {}, None),
    ],
)
def test_what_cannot_be_created_is_refused(
    open_client: Connect, path: str, body: dict[str, Any], param: str | None
) -> None:
    response = requests.post(f"{url_of(open_client())}/v1/realtime/{path}", json=body, timeout=10)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_a_plain_get_is_told_to_upgrade(open_client: Connect) -> None:
    response = requests.get(f"{url_of(open_client())}/v1/realtime", timeout=10)
    assert response.status_code == 400
    assert "WebSocket" in response.json()["error"]["message"]


def test_a_plain_get_is_told_why_there_would_be_no_session(open_client: Connect) -> None:
    """For pages: a browser does not tell them why a socket was refused."""
    url = url_of(open_client(max_sessions=1))
    response = requests.get(f"{url}/v1/realtime", timeout=10)
    assert (response.status_code, response.headers["retry-after"]) == (429, "10")
    assert "1 live sessions are open; allowed: 1" in response.json()["error"]["message"]


def test_a_plain_get_is_told_what_is_wrong_with_its_query(open_client: Connect) -> None:
    response = requests.get(f"{url_of(open_client())}/v1/realtime?model=other", timeout=10)
    assert response.status_code == 404


def test_the_log_and_the_metrics_know_sessions(open_client: Connect) -> None:
    client = open_client()
    lines = requests.get(f"{url_of(client)}/metrics", timeout=10).text.splitlines()
    assert "hf_asr_live_sessions 1.0" in lines
