"""Models of every kind over HTTP: what they tell is in the answers, and what they do not is refused by name."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from bench.peak_memory import rss_mib
from hf_asr_endpoint.types import Waveform
from tests.conftest import make_flac
from tests.server import Server
from tests.transformers_models.conftest import TIMEOUT_S, post

SPOKEN = "ask not what your country can do for you"
MAX_GROWTH_MIB = 40
WITHOUT_WORDS = ["moonshine", "encoder-decoder", "transducer"]


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


@pytest.mark.parametrize("kind", ["ctc", "ctc-8khz", "moonshine", "encoder-decoder", "transducer"])
def test_a_model_of_each_kind_gives_a_text_and_a_segment_in_every_dialect(
    served: Server, jfk: bytes, kind: str
) -> None:
    verbose = post(served, jfk, model=kind, response_format="verbose_json").json()
    assert verbose["text"]
    (segment,) = verbose["segments"]
    assert segment["text"].strip() == verbose["text"]
    assert 0 < segment["start"] < 1
    assert 10 < segment["end"] <= 11
    assert verbose.keys() & {"language", "language_probability", "words"} == set()
    assert segment.keys() & {"avg_logprob", "no_speech_prob"} == set()
    body = requests.post(f"{served.url}/models/{kind}", data=jfk, timeout=TIMEOUT_S).json()
    assert body == {"text": verbose["text"]}
    assert "-->" in post(served, jfk, model=kind, response_format="vtt").text


@pytest.mark.parametrize("kind", ["ctc", "ctc-8khz"])
def test_ctc_models_time_their_words(served: Server, jfk: bytes, kind: str) -> None:
    body = post(
        served, jfk, model=kind, response_format="verbose_json", **{"timestamp_granularities[]": "word"}
    ).json()
    words = body["words"]
    assert " ".join(word["word"] for word in words) == body["text"]
    times = [time for word in words for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert all(0 < word["probability"] < 1 for word in words)


def test_chunk_length_cuts_what_is_decoded_at_once(served: Server, jfk: bytes) -> None:
    document = {
        "inputs": base64.b64encode(jfk).decode(),
        "parameters": {"return_timestamps": True, "chunk_length_s": 3},
    }
    chunks = requests.post(f"{served.url}/models/ctc", json=document, timeout=TIMEOUT_S).json()["chunks"]
    assert len(chunks) >= 4
    assert all(chunk["timestamp"][1] - chunk["timestamp"][0] <= 3 for chunk in chunks)


@pytest.mark.parametrize("kind", WITHOUT_WORDS)
def test_words_are_refused_where_the_model_does_not_time_them(served: Server, jfk: bytes, kind: str) -> None:
    answer = post(served, jfk, model=kind, response_format="verbose_json", **{"timestamp_granularities[]": "word"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert "model does not tell the times of words; allowed: to leave it out" in error["message"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"language": "de"}, "language is 'de', but this wav2vec2 model does not have this option"),
        ({"prompt": "Tesla"}, "prompt is 'Tesla', but this wav2vec2 model does not have this option"),
        ({"include[]": "logprobs"}, "this wav2vec2 model does not tell log-probabilities"),
        ({"temperature": "0.5"}, "temperature is 0.5, but this wav2vec2 model has none; allowed: 0"),
    ],
)
def test_what_a_ctc_model_lacks_is_refused_by_name(
    served: Server, jfk: bytes, fields: dict[str, str], message: str
) -> None:
    answer = post(served, jfk, model="ctc", **fields)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_translation_is_refused_where_the_model_has_no_task(served: Server, jfk: bytes) -> None:
    answer = post(served, jfk, path="/v1/audio/translations", model="moonshine")
    assert answer.status_code == 400
    assert "this moonshine model does not translate" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "parameters", "name"),
    [
        ("ctc", {"num_beams": 3}, "num_beams is 3"),
        ("transducer", {"max_new_tokens": 5}, "max_new_tokens is 5"),
        ("moonshine", {"penalty_alpha": 0.5, "top_k": 3}, "penalty_alpha is 0.5"),
        ("whisper", {"penalty_alpha": 0.5, "top_k": 3}, "penalty_alpha is 0.5"),
    ],
)
def test_generation_parameters_are_refused_in_hugging_faces_form(
    served: Server, jfk: bytes, kind: str, parameters: dict[str, Any], name: str
) -> None:
    document = {
        "inputs": base64.b64encode(jfk).decode(),
        "parameters": {"generation_parameters": parameters},
    }
    answer = requests.post(f"{served.url}/models/{kind}", json=document, timeout=TIMEOUT_S)
    assert answer.status_code == 422
    assert name in answer.json()["error"]
    assert "does not have this option" in answer.json()["error"]


def test_a_decoder_takes_lengths_and_never_more_than_it_holds(served: Server, jfk: bytes) -> None:
    def n_words(**parameters: Any) -> int:
        document = {
            "inputs": base64.b64encode(jfk).decode(),
            "parameters": {"generation_parameters": parameters},
        }
        answer = requests.post(f"{served.url}/models/moonshine", json=document, timeout=TIMEOUT_S)
        return len(answer.json()["text"].split())

    assert n_words(max_new_tokens=3) == 3
    assert n_words(max_length=6) == 5
    assert n_words(num_beams=2, max_new_tokens=4) == 4
    assert n_words(min_new_tokens=20) == 20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_length_of_files(served: Server, speech: Waveform) -> None:
    def resident_mib(n_times: int) -> float:
        assert post(served, make_flac(np.tile(speech, n_times)), model="ctc").ok
        found = rss_mib(served.process.pid)
        assert found is not None
        return found

    before = resident_mib(12)  # 2 minutes: several batches
    assert resident_mib(48) < before + MAX_GROWTH_MIB


def test_a_whisper_with_another_activation_is_served_by_transformers(served: Server, jfk: bytes) -> None:
    body = post(served, jfk, model="other-whisper", response_format="verbose_json").json()
    assert SPOKEN in plain(body["text"])
    assert body["segments"][0]["avg_logprob"] > -1


def test_info_and_the_log_say_which_engine_computes_each_model_and_why(served: Server, jfk: bytes) -> None:
    for name in ("ctc", "other-whisper"):
        assert post(served, jfk, model=name).ok, "a model is described once it has been loaded"
    models = requests.get(f"{served.url}/info", timeout=TIMEOUT_S).json()["models"]
    engines = {model["names"][-1]: model["model"] for model in models if model["model"]}
    assert engines["whisper"]["engine"] == "transformers"
    assert engines["whisper"]["engine_reason"] == "--engine is transformers"
    assert engines["ctc"]["engine_reason"] == (
        "the native engine does not compute it, because it is of type 'wav2vec2', not whisper"
    )
    assert "because its activation is 'gelu_new'" in engines["other-whisper"]["engine_reason"]
    assert "is computed by the transformers engine: --engine is transformers" in served.log.read_text()
