"""Hugging Face's own Python client on a server of each engine, with real weights: only the address is changed."""

from __future__ import annotations

import pytest
import requests
from huggingface_hub import AutomaticSpeechRecognitionOutput, InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError

from tests.conftest import DATA
from tests.server import Server

TIMEOUT_S = 120.0
SPOKEN = "ask not what your country can do for you"


@pytest.fixture(scope="module")
def client(either_server: Server) -> InferenceClient:
    return InferenceClient(model=either_server.url, provider="hf-inference", timeout=TIMEOUT_S)


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


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
        extra_body={"return_timestamps": True, "generation_parameters": {"num_beams": 4}},
    )
    assert SPOKEN in plain(output.text)
    assert output.chunks
    assert "".join(chunk.text for chunk in output.chunks).strip() == output.text
    times = [time for chunk in output.chunks for time in chunk.timestamp]
    assert all(isinstance(time, float) for time in times)
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= 11.1


def test_client_with_beams_at_a_temperature(server: Server, jfk: bytes) -> None:
    """Only the native engine has them; the other refuses `temperature` beside beams by name."""
    client = InferenceClient(model=server.url, provider="hf-inference", timeout=TIMEOUT_S)
    parameters = {"num_beams": 4, "temperature": 0.2}
    output = client.automatic_speech_recognition(jfk, extra_body={"generation_parameters": parameters})
    assert SPOKEN in plain(output.text)


def test_client_with_words(client: InferenceClient, jfk: bytes) -> None:
    output = client.automatic_speech_recognition(jfk, extra_body={"return_timestamps": "word"})
    assert output.chunks
    assert "".join(chunk.text for chunk in output.chunks).strip() == output.text
    assert len(output.chunks) == len(output.text.split())
    times = [time for chunk in output.chunks for time in chunk.timestamp]
    assert times == sorted(times)


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


def test_client_checks_health(either_server: Server, client: InferenceClient) -> None:
    assert requests.get(f"{either_server.url}/health", timeout=TIMEOUT_S).json() == {"status": "ready"}
    info = client.get_endpoint_info()
    assert info["model_id"] == "openai/whisper-base"
    assert client.health_check() is True


def test_client_shows_what_is_wrong(client: InferenceClient, jfk: bytes) -> None:
    with pytest.raises(BadRequestError, match="wav file cannot be decoded"):
        client.automatic_speech_recognition(b"RIFF\x04\0\0\0WAVE")
    with pytest.raises(HfHubHTTPError, match=r"num_beams is 99; allowed: up to 15, by .* --max-beams") as refused:
        client.automatic_speech_recognition(jfk, extra_body={"generation_parameters": {"num_beams": 99}})
    assert refused.value.response.status_code == 422
    assert refused.value.request_id
