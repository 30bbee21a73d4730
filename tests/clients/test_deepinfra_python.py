"""DeepInfra's API on the server with real weights, as its documentation and its Python client use it."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import deepinfra
import httpx
import numpy as np
import pytest
import requests
from deepinfra import AutomaticSpeechRecognition

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.conftest import DATA, ON_RAY, PRICE_PER_S, make_flac
from tests.jobs.receiver import run_receiver
from tests.server import Server, run_server

TIMEOUT_S = 120.0
JFK = DATA / "jfk.mp3"
GERMAN = DATA / "fleurs-de-005.ogg"
SPOKEN = "ask not what your country can do for you"
MODEL = "openai/whisper-base"
OF_THE_REQUEST = ("request_id", "inference_status")


@pytest.fixture(scope="module")
def endpoint(server: Server) -> str:
    return f"{server.url}/v1/inference/{MODEL}"


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


def post(endpoint: str, audio: bytes, **fields: Any) -> dict[str, Any]:
    answer = requests.post(endpoint, files={"audio": audio}, data=fields, timeout=TIMEOUT_S)
    answer.raise_for_status()
    document: dict[str, Any] = answer.json()
    return document


def test_curl_as_in_the_documentation(endpoint: str) -> None:
    command = ["curl", "-sS", "-X", "POST", "-H", "Authorization: bearer any", "-F", f"audio=@{JFK}", endpoint]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    assert SPOKEN in plain(done.stdout)
    assert '"status":"succeeded"' in done.stdout


def test_curl_without_a_token(server: Server) -> None:
    url = f"{server.url}/v1/inference/deploy/{MODEL}"
    command = ["curl", "-sS", "-F", f"audio=@{JFK}", "-F", "chunk_level=word", "-F", "language=en", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    words = json.loads(done.stdout)["words"]
    assert SPOKEN in plain(" ".join(word["text"] for word in words))
    assert all(word["start"] <= word["end"] for word in words)


def test_the_cost_is_the_price_of_the_audio(endpoint: str, jfk: bytes) -> None:
    answer = post(endpoint, jfk)
    assert answer["inference_status"]["cost"] == pytest.approx(answer["duration"] * PRICE_PER_S)
    assert answer["duration"] == pytest.approx(11, abs=0.1)


def test_curl_with_a_compressed_body(endpoint: str) -> None:
    document = b64encode(JFK.read_bytes()).decode()
    command = (
        f"gzip | curl -sS {endpoint} -H 'Content-Encoding: gzip' -H 'Content-Type: application/json' "
        "--data-binary @-"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        input=f'{{"audio": "{document}"}}'.encode(),
        capture_output=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    assert SPOKEN in plain(done.stdout.decode())


def test_the_python_client(endpoint: str) -> None:
    client = AutomaticSpeechRecognition(endpoint, "any")
    for audio in (str(JFK), JFK.read_bytes(), f"data:audio/mpeg;base64,{b64encode(JFK.read_bytes()).decode()}"):
        answer = client.generate({"audio": audio})
        assert SPOKEN in plain(answer.text)
        assert answer.language == "en"
        assert answer.segments
    answer = client.generate({"audio": str(GERMAN), "task": "translate", "language": None, "temperature": 0.0})
    assert "animals" in plain(answer.text)
    client.client.close()


def test_the_python_clients_errors(server: Server) -> None:
    client = AutomaticSpeechRecognition(f"{server.url}/v1/inference/openai/whisper-large", "any")
    with pytest.raises(deepinfra.NotFoundError, match="allowed: openai/whisper-base"):
        client.generate({"audio": str(JFK)})
    client.client.close()


def test_a_webhook_of_the_python_client(server: Server, endpoint: str, jfk: bytes) -> None:
    client = AutomaticSpeechRecognition(endpoint, "any")
    with run_receiver() as receiver:
        answer = client.generate({"audio": jfk, "chunk_level": "word", "webhook": receiver.url})
        assert (answer.inference_status["status"], answer.text) == ("queued", None)
        document = receiver.wait_for_document()
    client.client.close()
    assert document["request_id"] == answer.request_id
    assert document["inference_status"]["status"] == "succeeded"
    assert document["inference_status"]["runtime_ms"] > 0
    assert document["inference_status"]["cost"] == pytest.approx(0.011, abs=0.0001)
    expected = post(endpoint, jfk, chunk_level="word")
    results = {name: expected[name] for name in expected if name not in OF_THE_REQUEST}
    if ON_RAY:  # Another engine may have computed it, and in another process the last digits are others.
        assert document["results"]["text"] == results["text"]
    else:
        assert document["results"] == results
    status = requests.get(f"{server.url}/v1/requests/{answer.request_id}", timeout=TIMEOUT_S).json()
    assert status["results"] == document["results"]


def test_a_webhook_on_this_machine_is_refused_unless_it_is_allowed(cache_dir: Path, jfk: bytes) -> None:
    model = "embedded:whisper-tiny.en"
    with (
        run_receiver() as receiver,
        run_server("--cache-dir", str(cache_dir), "--model", model, wait_ready=False) as server,
    ):
        url = f"{server.url}/v1/inference/whisper-tiny.en"
        answer = requests.post(url, files={"audio": jfk}, data={"webhook": receiver.url}, timeout=TIMEOUT_S)
        assert answer.status_code == 422
        (detail,) = answer.json()["detail"]
        assert detail["loc"] == ["body", "webhook"]
        assert "HF_ASR_WEBHOOK_ALLOWED_HOSTS" in detail["msg"]
        assert receiver.received == []


def test_httpx_with_every_kind_of_value(endpoint: str, jfk: bytes) -> None:
    """httpx, on which the Python client stands, writes True as true and None as an empty text."""
    fields = {"condition_on_previous_text": True, "temperature": 0, "initial_prompt": None, "chunk_level": "word"}
    answer = httpx.post(endpoint, files={"audio": jfk}, data=fields, timeout=TIMEOUT_S)
    assert answer.status_code == 200, answer.text
    assert SPOKEN in plain(" ".join(word["text"] for word in answer.json()["words"]))


@pytest.fixture(scope="module")
def two_chunks(speech: Waveform) -> bytes:
    """Forty seconds: the same speech twice with a pause between that ends a chunk."""
    pause = np.zeros(18 * SAMPLE_RATE, np.float32)
    return make_flac(np.concatenate([speech, pause, speech]))


def test_long_form_with_and_without_the_text_before(endpoint: str, two_chunks: bytes) -> None:
    """A sentence said twice is kept; the second time it is decoded without the first one as its prompt."""
    for is_conditioned in (True, False):
        answer = post(endpoint, two_chunks, condition_on_previous_text=is_conditioned, temperature=0)
        assert plain(answer["text"]).count(SPOKEN) == 2
        assert answer["input_length_ms"] == 40_000
        segments = answer["segments"]
        starts = [segment["start"] for segment in segments]
        assert starts == sorted(starts)
        assert starts[-1] > 28
        assert abs(segments[-1]["confidence"] - segments[0]["confidence"]) < 0.1


def test_the_initial_prompt_is_before_every_chunk_that_is_decoded_beside_others(
    endpoint: str, two_chunks: bytes
) -> None:
    prompt = "ASK NOT WHAT YOUR COUNTRY CAN DO FOR YOU, MY FELLOW AMERICANS."
    loud = post(endpoint, two_chunks, initial_prompt=prompt, condition_on_previous_text=False)["text"]
    assert loud.count("COUNTRY") >= 4, "twice in each chunk"
    assert "country" not in loud
    quiet = post(endpoint, two_chunks, condition_on_previous_text=False)["text"]
    assert quiet.count("COUNTRY") == 0


@pytest.mark.parametrize("chunk_length_s", [2, 6])
def test_segments_are_no_longer_than_asked(endpoint: str, two_chunks: bytes, chunk_length_s: int) -> None:
    answer = post(endpoint, two_chunks, chunk_length_s=chunk_length_s, language="en")
    lengths = [round(segment["end"] - segment["start"], 2) for segment in answer["segments"]]
    assert max(lengths) <= chunk_length_s
    assert len(lengths) >= 20 / chunk_length_s


def test_a_fixed_temperature_without_a_ladder_is_the_segments_own(endpoint: str, jfk: bytes) -> None:
    answer = post(endpoint, jfk, temperature=0.4, temperature_increment_on_fallback=0)
    assert {segment["temperature"] for segment in answer["segments"]} == {0.4}


def test_suppressed_tokens_never_come(endpoint: str, jfk: bytes) -> None:
    first = post(endpoint, jfk)
    comma = next(token for segment in first["segments"] for token in segment["tokens"] if token == 11)
    assert "," in first["text"]
    assert "," not in post(endpoint, jfk, suppress_tokens=str(comma))["text"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("suppress_tokens", "60000", "suppress_tokens has 60000"),
        ("num_beams", "17", "num_beams is 17; allowed: up to 15, by this server's setting --"),
    ],
)
def test_what_the_model_and_the_server_limit_is_422(
    endpoint: str, jfk: bytes, field: str, value: str, message: str
) -> None:
    answer = requests.post(endpoint, files={"audio": jfk}, data={field: value}, timeout=TIMEOUT_S)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["body", field]
    assert message in problem["msg"]
