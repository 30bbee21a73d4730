"""Who may use the server: keys, where clients send them, and what everybody else is told."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from huggingface_hub import InferenceClient

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.api_keys import ApiKeys, KeyLimits, read_entries
from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.errors import InvalidSettings
from tests.api.conftest import every_path, make_services, serve_app, wait_for
from tests.fakes import FakeTranscriber

KEY, OTHER_KEY, WRONG = "sk-of-anna-0123456789", "sk-of-bert-0123456789", "sk-wrong-0123456789"
ENTRIES = [f"anna:{KEY}", OTHER_KEY]
EVERY_PATH = every_path()
TRANSCRIPTIONS = "/v1/audio/transcriptions"


def keys_of(*entries: str) -> ApiKeys:
    return ApiKeys(lambda: read_entries(",".join(entries), None))


def access(*entries: str, open_paths: tuple[str, ...] = ("/health",)) -> Access:
    return Access(keys=keys_of(*(entries or ENTRIES)), open_paths=open_paths)


@pytest.fixture
def url(transcriber: FakeTranscriber) -> Iterator[str]:
    """A server with two keys."""
    with serve_app(create_app(make_services(transcriber, access=access()))) as url:
        yield url


def post(url: str, body: bytes, headers: Mapping[str, str]) -> requests.Response:
    return requests.post(url, data=body, headers=headers, timeout=10)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {KEY}"},
        {"Authorization": f"BEARER   {OTHER_KEY}"},
        {"api-key": KEY},
        {"xi-api-key": KEY},
        {"Authorization": "Bearer hf_of_another_service", "api-key": KEY},
        {"Authorization": "Basic YTpi", "xi-api-key": KEY},
        {"Authorization": "", "api-key": KEY},
    ],
)
def test_a_key_in_any_clients_header_is_accepted(url: str, wav: bytes, headers: dict[str, str]) -> None:
    assert post(url, wav, headers).ok


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "needs an API key; send it as 'Authorization: Bearer KEY'"),
        ({"Authorization": f"Bearer {WRONG}"}, "not one that this server knows"),
        ({"Authorization": f"Bearer {KEY}x"}, "not one that this server knows"),
        ({"Authorization": f"Bearer {KEY[:-1]}"}, "not one that this server knows"),
        ({"Authorization": f"Basic {KEY}"}, "needs an API key"),
        ({"Authorization": KEY}, "needs an API key"),
        ({"api-key": "ä" * 9}, "not one that this server knows"),
        ({"x-request-id": KEY}, "needs an API key"),
        ({"Authorization": "Bearer anna"}, "not one that this server knows"),
    ],
)
def test_without_a_known_key_nothing_is_done(
    url: str, wav: bytes, transcriber: FakeTranscriber, headers: dict[str, str], reason: str
) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    response = requests.post(url, data=wav, headers=encoded, timeout=10)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert reason in response.json()["error"]
    assert transcriber.options == []


def test_every_path_but_the_open_ones_needs_a_key(url: str) -> None:
    for method, path in EVERY_PATH:
        status = requests.request(method, url + path, timeout=10).status_code
        assert status == (200 if path in ("/health", "/health/ready", "/health/live") else 401), path
    for path in ("//v1//models/", "/health/x", "/nowhere", "/HEALTH"):
        assert requests.get(url + path, timeout=10).status_code == 401, path
    assert requests.get(f"{url}//health/", timeout=10).ok


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (TRANSCRIPTIONS, {"error": {"type": "invalid_request_error", "param": None, "code": "invalid_api_key"}}),
        ("/v1/inference/openai/whisper-base", {}),
        ("/asr", {}),
        ("/inference", {}),
        ("/", {}),
    ],
)
def test_the_error_has_the_form_of_the_dialect(url: str, path: str, expected: dict[str, Any]) -> None:
    body = requests.post(url + path, timeout=10).json()
    assert "API key" in str(body)
    if expected:
        assert {**body["error"], **expected["error"]} == body["error"]


def test_paths_can_be_opened(transcriber: FakeTranscriber) -> None:
    for open_paths, statuses in (((), (401, 401)), (("/health", "/info"), (200, 200))):
        services = make_services(transcriber, access=access(open_paths=open_paths))
        with serve_app(create_app(services)) as url:
            found = tuple(requests.get(url + path, timeout=10).status_code for path in ("/health", "/info"))
        assert found == statuses


def test_the_log_has_the_name_and_never_a_key(url: str, wav: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for key in (KEY, OTHER_KEY, WRONG):
        post(url, wav, {"Authorization": f"Bearer {key}"})

    def lines() -> list[str]:
        return [message for message in caplog.messages if "status=" in message]

    wait_for(lambda: len(lines()) == 3)  # A line comes after its response.
    assert [re.findall(r"status=(\d+) .*key=(\S+)", line)[0] for line in lines()] == [
        ("200", "anna"),
        ("200", "key-2"),
        ("401", "-"),
    ]
    assert not any(key in caplog.text for key in (KEY, OTHER_KEY, WRONG))


def test_a_large_upload_without_a_key_gets_its_answer(url: str) -> None:
    """Also a client that sends all of its body before it reads."""
    assert post(url, bytes(30_000_000), {"Authorization": f"Bearer {WRONG}"}).status_code == 401


def test_openais_client_has_its_own_exception(url: str, wav: bytes) -> None:
    def transcribe(key: str) -> str:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        return client.audio.transcriptions.create(model="whisper-1", file=("a.wav", wav)).text

    assert transcribe(KEY)
    with pytest.raises(openai.AuthenticationError, match="not one that this server knows"):
        transcribe(WRONG)


def test_hugging_faces_client_sends_its_token(url: str, wav: bytes) -> None:
    assert InferenceClient(url, token=KEY).automatic_speech_recognition(wav).text
    with pytest.raises(Exception, match="401"):
        InferenceClient(url, token=WRONG).automatic_speech_recognition(wav)


def test_a_page_may_ask_before_it_sends_its_key(transcriber: FakeTranscriber) -> None:
    """A browser's question has no key, and its answer must not be 401."""
    page = "https://app.example"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    services = make_services(transcriber, access=access(), cors_origins=(page,))
    with serve_app(create_app(services)) as url:
        assert requests.options(url + TRANSCRIPTIONS, headers={"Origin": page, **asked}, timeout=10).ok
        refused = requests.post(url + TRANSCRIPTIONS, headers={"Origin": page}, timeout=10)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, page)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (["short"], "8 to 256 visible ASCII characters"),
        (
            ["anna:secret1"],
            "the API key in HF_ASR_API_KEYS at position 1 cannot be used",
        ),  # a key of seven characters
        (["an@na:abcdefgh"], "a key with a colon needs a name"),
        ([f"two words:{KEY}"], "at position 1 cannot be used"),
        ([KEY, "with-blank 0123"], "what follows the API key in HF_ASR_API_KEYS at position 2 cannot be used"),
        ([f"{KEY} requests=0"], "allowed, once each and separated by blanks: requests=NUMBER"),
        ([f"{KEY} requests=1 requests=2"], "once each"),
        ([f"{KEY} requests=-1"], "from 1 on"),
        ([f"{KEY} audio_s_per_minute=1e3"], "audio_s_per_minute=NUMBER"),
        (["x" * 257], "at position 1 cannot be used"),
        ([KEY, f"anna:{KEY}"], "there twice"),
        ([f"anna:{KEY}", f"anna:{OTHER_KEY}"], "there twice"),
        ([], "there is no API key"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_and_not_shown(entries: list[str], reason: str) -> None:
    with pytest.raises(InvalidSettings, match=reason) as raised:
        keys_of(*entries)
    assert not any(entry.rpartition(":")[2].split()[0] in str(raised.value) for entry in entries)


def test_keys_may_have_equals_signs_and_behind_a_name_colons() -> None:
    keys = keys_of("anna:c2VjcmV0:LWtleQ==", "bGV0IG1lIGluIQ==")
    assert name_of(keys, "c2VjcmV0:LWtleQ==") == "anna"
    assert name_of(keys, "LWtleQ==") is None
    assert name_of(keys, "bGV0IG1lIGluIQ==") == "key-2"


def name_of(keys: ApiKeys, secret: str) -> str | None:
    key = keys.find(secret)
    return key and key.name


def test_what_follows_a_key_is_its_limits() -> None:
    keys = keys_of(f"anna:{KEY}  requests=4 audio_s_per_minute=600", OTHER_KEY)
    limits = [key.limits for secret in (KEY, OTHER_KEY) if (key := keys.find(secret))]
    assert limits == [KeyLimits(requests=4, audio_s_per_minute=600), KeyLimits()]


def test_the_variable_and_the_file_are_joined(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# Anna's, of May\nanna:{KEY}\n\n  {OTHER_KEY}  \n")
    assert [(place, text.strip()) for place, text in read_entries("one-0123456789, two-0123456789,", file)] == [
        ("HF_ASR_API_KEYS at position 1", "one-0123456789"),
        ("HF_ASR_API_KEYS at position 2", "two-0123456789"),
        (f"line 2 of {file}", f"anna:{KEY}"),
        (f"line 4 of {file}", OTHER_KEY),
    ]
    with pytest.raises(InvalidSettings, match="cannot be read"):
        read_entries(None, tmp_path / "missing")


def test_keys_are_read_again_all_or_none() -> None:
    entries = list(ENTRIES)
    keys = ApiKeys(lambda: read_entries(",".join(entries), None))
    entries[:] = [f"carl:{WRONG}"]
    assert name_of(keys, KEY) == "anna"
    assert (keys.reload(), name_of(keys, KEY), name_of(keys, WRONG)) == (1, None, "carl")
    entries[:] = ["short"]
    with pytest.raises(InvalidSettings):
        keys.reload()
    assert name_of(keys, WRONG) == "carl"
