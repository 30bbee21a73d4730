"""The server as its users meet it: real weights, real clients, a real socket."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jiwer
import pytest
import requests
from huggingface_hub import AutomaticSpeechRecognitionOutput, InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError
from whisper_normalizer.english import EnglishTextNormalizer

from tests.conftest import DATA
from tests.server import Server

TIMEOUT_S = 120.0
SPOKEN = "ask not what your country can do for you"
MALFORMED = sorted((DATA / "audio" / "malformed").iterdir())


@pytest.fixture(scope="module")
def client(server: Server) -> InferenceClient:
    return InferenceClient(model=server.url, provider="hf-inference", timeout=TIMEOUT_S)


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


def post(server: Server, body: bytes, **query: str) -> dict[str, Any]:
    answer = requests.post(server.url, data=body, params=query, timeout=TIMEOUT_S)
    answer.raise_for_status()
    document: dict[str, Any] = answer.json()
    return document


def test_client_with_a_path(client: InferenceClient) -> None:
    output = client.automatic_speech_recognition(DATA / "jfk.mp3")
    assert isinstance(output, AutomaticSpeechRecognitionOutput)
    assert SPOKEN in plain(output.text)
    assert output.chunks is None


def test_client_with_bytes(client: InferenceClient, jfk: bytes) -> None:
    assert SPOKEN in plain(client.automatic_speech_recognition(jfk).text)


def test_client_with_parameters(client: InferenceClient, jfk: bytes) -> None:
    output = client.automatic_speech_recognition(
        jfk,
        extra_body={"return_timestamps": True, "generation_parameters": {"num_beams": 4, "temperature": 0.2}},
    )
    assert SPOKEN in plain(output.text)
    assert output.chunks
    assert "".join(chunk.text for chunk in output.chunks).strip() == output.text
    times = [time for chunk in output.chunks for time in chunk.timestamp]
    assert all(isinstance(time, float) for time in times)
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= 11.1


def test_client_with_all_sixteen_generation_parameters(client: InferenceClient, jfk: bytes) -> None:
    output = client.automatic_speech_recognition(
        jfk,
        extra_body={
            "generation_parameters": {
                "do_sample": True,
                "early_stopping": False,
                "epsilon_cutoff": 0.0003,
                "eta_cutoff": 0.0003,
                "max_length": 448,
                "max_new_tokens": 100,
                "min_length": 5,
                "min_new_tokens": 2,
                "num_beam_groups": 1,
                "num_beams": 1,
                "penalty_alpha": 0.0,
                "temperature": 0.1,
                "top_k": 50,
                "top_p": 0.95,
                "typical_p": 0.95,
                "use_cache": True,
            }
        },
    )
    assert SPOKEN in plain(output.text)


def test_client_checks_health(server: Server, client: InferenceClient) -> None:
    assert requests.get(f"{server.url}/health", timeout=TIMEOUT_S).json() == {"status": "ready"}
    info = client.get_endpoint_info()
    assert info["model_id"] == "openai/whisper-base"
    assert client.health_check() is True


def test_client_shows_what_is_wrong(client: InferenceClient, jfk: bytes) -> None:
    with pytest.raises(BadRequestError, match="wav file cannot be decoded"):
        client.automatic_speech_recognition(b"RIFF\x04\0\0\0WAVE")
    with pytest.raises(HfHubHTTPError, match=r"num_beams is 99; allowed: up to 16, by .* --max-beams") as refused:
        client.automatic_speech_recognition(jfk, extra_body={"generation_parameters": {"num_beams": 99}})
    assert refused.value.response.status_code == 422
    assert refused.value.request_id


def test_the_sites_snippet_that_declares_the_wrong_type(server: Server, jfk: bytes) -> None:
    body = json.dumps({"inputs": base64.b64encode(jfk).decode(), "parameters": {"return_timestamps": True}})
    answer = requests.post(server.url, data=body, headers={"Content-Type": "audio/flac"}, timeout=TIMEOUT_S).json()
    assert SPOKEN in plain(answer["text"])
    assert answer["chunks"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fleurs-de-005.ogg", {"dieses", "sediment", "und", "die", "als"}),
        ("fleurs-fr-000.ogg", {"accident", "lieu", "en", "terrain", "et"}),
        ("fleurs-es-002.ogg", {"cantidad", "de", "gente", "todos", "plaza"}),
    ],
)
def test_each_language_comes_back_in_itself_with_no_parameter(server: Server, name: str, words: set[str]) -> None:
    text = plain(post(server, (DATA / name).read_bytes())["text"]).replace("'", " ")
    assert words <= set(text.split())


def test_a_task_asked_for_in_the_query_string(server: Server) -> None:
    text = post(server, (DATA / "fleurs-de-005.ogg").read_bytes(), task="translate", language="de")["text"]
    assert "animals" in plain(text)


def test_word_error_rate_on_short_clips(server: Server) -> None:
    """Whisper-base has about 10 per cent on this kind of speech; a broken front end or prompt has far more."""
    references = json.loads((DATA / "librispeech.json").read_text())
    normalise = EnglishTextNormalizer()
    hypotheses = [post(server, (DATA / name).read_bytes(), num_beams="1")["text"] for name in references]
    wer = jiwer.wer([normalise(text) for text in references.values()], [normalise(text) for text in hypotheses])
    assert wer <= 0.15


def test_a_long_recording_is_whole_and_its_times_go_on(server: Server, long_recording: bytes) -> None:
    document = post(server, long_recording, return_timestamps="true", num_beams="1")
    assert plain(document["text"]).count(SPOKEN) == 3
    times = [time for chunk in document["chunks"] for time in chunk["timestamp"]]
    assert times == sorted(times)
    assert 32 < times[-1] <= 35


def test_too_many_seconds_are_refused(server: Server, silent_minutes: bytes) -> None:
    answer = requests.post(server.url, data=silent_minutes, timeout=TIMEOUT_S)
    assert answer.status_code == 413
    assert "longer than 60 s" in answer.json()["error"]


def test_requests_at_once_are_all_answered_alike(server: Server, jfk: bytes) -> None:
    with ThreadPoolExecutor(6) as pool:
        texts = set(pool.map(lambda _: post(server, jfk, num_beams="1")["text"], range(6)))
    assert len(texts) == 1


@pytest.mark.parametrize("path", MALFORMED, ids=lambda path: path.name)
def test_broken_files_have_a_transcript_or_a_400(server: Server, path: Path) -> None:
    answer = requests.post(server.url, data=path.read_bytes(), params={"num_beams": "1"}, timeout=TIMEOUT_S)
    assert (answer.status_code, set(answer.json())) in ((200, {"text"}), (400, {"error"}))
