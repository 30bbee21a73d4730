"""OpenAI's fields in the query string, and Azure's paths, whose deployment is the model."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from tests.api.conftest import MODEL_NAMES, make_services, serve_app
from tests.api.openai.test_routes import TRANSCRIPTIONS, error_of
from tests.fakes import FakeTranscriber

TIMEOUT_S = 10.0
TEXT = "16000 samples"
VERSION = "api-version=2024-06-01"
DEPLOYMENT = "/openai/deployments/whisper-1/audio/transcriptions"

Fields = dict[str, Any]


def post(url: str, wav: bytes, path: str, **fields: Any) -> requests.Response:
    return requests.post(url + path, files={"file": ("a.wav", wav)}, data=fields, timeout=TIMEOUT_S)


def test_fields_in_the_query_string_count(url: str, wav: bytes, transcriber: FakeTranscriber) -> None:
    query = "?model=whisper-1&language=de&prompt=Gr%C3%BC%C3%9Fe&temperature=0.5&response_format=verbose_json"
    more = "&timestamp_granularities[]=word&timestamp_granularities%5B%5D=segment"
    more += "&chunking_strategy[type]=server_vad"
    body = post(url, wav, TRANSCRIPTIONS + query + more).json()
    assert (body["language"], body["words"], len(body["segments"])) == ("german", [], 1)
    (options,) = transcriber.options
    assert (options.language, options.prompt, options.decoding.temperatures) == ("de", "Grüße", (0.5,))
    assert options.voice_activity.speech_pad_s == 0.3


@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("language=de", {"language": "de"}),
        ("language=de", {"language": " de "}),
        ("language=", {"language": "de"}),
        ("language=de", {"language": ""}),
        ("language=de", {"prompt": "x"}),
        ("model=whisper-1&language=de", {}),
        (VERSION, {"language": "de"}),
        ("api-version=preview", {"language": "de"}),
        (
            "timestamp_granularities[]=word&response_format=verbose_json",
            {"timestamp_granularities": "word", "language": "de"},
        ),
        ("chunking_strategy[type]=server_vad", {"chunking_strategy[threshold]": "0.7", "language": "de"}),
    ],
)
def test_fields_may_be_in_query_and_form(
    url: str, wav: bytes, transcriber: FakeTranscriber, query: str, form: Fields
) -> None:
    answer = post(url, wav, f"{TRANSCRIPTIONS}?{query}", **{"model": "whisper-1", **form})
    assert (answer.status_code, answer.json()["text"]) == (200, TEXT)
    (options,) = transcriber.options
    assert options.language == "de"


@pytest.mark.parametrize(
    ("query", "form", "parameter", "message"),
    [
        ("language=de", {"language": "en"}, "language", "'de' in the query string, but 'en' in the body"),
        ("model=whisper-base", {}, "model", "'whisper-base' in the query string, but 'whisper-1'"),
        (
            "timestamp_granularities[]=word",
            {"timestamp_granularities": "segment"},
            "timestamp_granularities",
            "'word' in the query string, but 'segment' in the body; allowed: in one of them",
        ),
        ("temperature=0&temperature=1", {}, "temperature", "given twice"),
        ("temperature=7", {}, "temperature", "temperature is '7'"),
        ("lang=de", {}, "lang", "there is no parameter 'lang'; did you mean 'language'?"),
        ("file=a.wav", {}, "file", "in the body only"),
        (f"{VERSION}&api_version=1", {}, "api_version", "there is no parameter 'api_version'"),
        ("prompt=%00", {}, "prompt", "a NUL character"),
        ("&".join(f"keywords[]={n}" for n in range(101)), {}, None, "allowed: 100 fields"),
        ("prompt=" + "x" * 17_000, {}, None, "allowed: 16384 bytes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_fields_are_refused(
    url: str, wav: bytes, query: str, form: Fields, parameter: str | None, message: str
) -> None:
    error = error_of(post(url, wav, f"{TRANSCRIPTIONS}?{query}", **{"model": "whisper-1", **form}), 400)
    assert error["param"] == parameter
    assert message in error["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/openai/models", "/models/whisper-1"])
def test_lists_of_models_have_no_parameters_but_azures_version(url: str, path: str) -> None:
    assert requests.get(f"{url}{path}?{VERSION}", timeout=TIMEOUT_S).status_code == 200
    error = error_of(requests.get(f"{url}{path}?limit=1", timeout=TIMEOUT_S), 400)
    assert (error["param"], error["code"]) == ("limit", "unknown_parameter")


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (f"{DEPLOYMENT}?{VERSION}", {}),
        (DEPLOYMENT, {}),
        (f"{DEPLOYMENT}?{VERSION}", {"model": ""}),
        (f"{DEPLOYMENT}?{VERSION}", {"model": "whisper-1"}),
        (f"{DEPLOYMENT}?{VERSION}", {"model": "openai/whisper-base"}),
        (f"{DEPLOYMENT}?{VERSION}&model=whisper-base", {}),
        (f"/openai/deployments/openai%2Fwhisper-base/audio/transcriptions?{VERSION}", {}),
        (f"/openai/deployments/openai/whisper-base/audio/translations?{VERSION}", {}),
    ],
)
def test_a_deployment_is_the_model(url: str, wav: bytes, path: str, form: Fields) -> None:
    answer = requests.post(
        url + path, files={"file": wav}, data=form, headers={"api-key": "any"}, timeout=TIMEOUT_S
    )
    assert (answer.status_code, answer.json()["text"]) == (200, TEXT)


@pytest.mark.parametrize("name", ["my-whisper", "whisper%2D2", "openai", "audio/transcriptions", "x" * 5_000])
def test_another_deployment_is_404_and_says_how_to_add_its_name(url: str, wav: bytes, name: str) -> None:
    error = error_of(post(url, wav, f"/openai/deployments/{name}/audio/transcriptions?{VERSION}"), 404)
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    assert "allowed: openai/whisper-base, whisper-base, whisper-1" in error["message"]
    assert "--served-model-names" in error["message"]


def test_a_deployment_may_have_any_name_that_the_server_was_given(wav: bytes) -> None:
    models = ServedModels([ServedModel(names=(*MODEL_NAMES, "Mein Whisper"))])
    with serve_app(create_app(make_services(FakeTranscriber(), models=models))) as url:
        path = f"/openai/deployments/Mein%20Whisper/audio/transcriptions?{VERSION}"
        assert post(url, wav, path).json()["text"] == TEXT


def test_of_several_models_the_deployment_decides_and_not_the_form(wav: bytes) -> None:
    models = ServedModels([ServedModel(names=MODEL_NAMES), ServedModel(names=("tiny",))])
    transcriber = FakeTranscriber()
    with serve_app(create_app(make_services(transcriber, models=models))) as url:
        for model in ("tiny", "whisper-1"):
            post(url, wav, f"/openai/deployments/tiny/audio/transcriptions?{VERSION}", model=model)
        post(url, wav, f"/openai/deployments/whisper-1/audio/transcriptions?{VERSION}", model="tiny")
    assert [options.model for options in transcriber.options] == ["tiny", "tiny", None]


def test_another_model_beside_a_deployment_is_404(url: str, wav: bytes) -> None:
    assert error_of(post(url, wav, DEPLOYMENT, model="gpt-4o"), 404)["code"] == "model_not_found"
