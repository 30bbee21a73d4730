"""OpenAI's and Azure's Python clients under each base URL, and what they show of a wrong one."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import AzureOpenAI, OpenAI

from tests.api.conftest import MODEL_NAMES

TEXT = "16000 samples"
VERSION = "2024-06-01"


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    "base",
    ["", "/", "/v1", "/v1/", "//v1//", "/openai/v1", "/openai/v1/", "/v1/openai", "/openai"],
)
def test_openais_client_works_under_each_base_url(url: str, wav: bytes, base: str) -> None:
    with OpenAI(base_url=url + base, api_key="any", max_retries=0) as client:
        assert client.audio.transcriptions.create(model="whisper-1", file=wav).text == TEXT
        assert client.audio.translations.create(model="whisper-1", file=wav).text == TEXT
        assert next(iter(client.models.list())).id == MODEL_NAMES[0]
        assert client.models.retrieve(MODEL_NAMES[0]).id == MODEL_NAMES[0]


def test_azures_newer_api_is_openais_with_a_version(url: str, wav: bytes) -> None:
    version = {"api-version": "preview"}
    with OpenAI(base_url=f"{url}/openai/v1/", api_key="any", default_query=version, max_retries=0) as client:
        assert client.audio.transcriptions.create(model="whisper-1", file=wav).text == TEXT
        assert next(iter(client.models.list())).id == MODEL_NAMES[0]


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("options", "model"),
    [
        ({}, "whisper-1"),
        ({}, "openai/whisper-base"),
        ({"azure_deployment": "whisper-base"}, "whisper-1"),
        ({"api_version": "preview"}, "whisper-1"),
    ],
)
def test_azures_client_works(url: str, wav: bytes, options: dict[str, Any], model: str) -> None:
    given = {"azure_endpoint": url, "api_key": "any", "api_version": VERSION, "max_retries": 0, **options}
    with AzureOpenAI(**given) as client:
        assert client.audio.transcriptions.create(model=model, file=wav).text == TEXT
        assert client.audio.translations.create(model=model, file=wav).text == TEXT
        verbose = client.audio.transcriptions.create(model=model, file=wav, response_format="verbose_json")
        assert verbose.duration == 1
        events = list(client.audio.transcriptions.create(model=model, file=wav, stream=True))
        assert events[-1].type == "transcript.text.done"


def test_azures_client_lists_models(url: str) -> None:
    with AzureOpenAI(azure_endpoint=url, api_key="any", api_version=VERSION) as client:
        assert next(iter(client.models.list())).id == MODEL_NAMES[0]
        assert client.models.retrieve(MODEL_NAMES[0]).id == MODEL_NAMES[0]


def test_azures_client_shows_the_names_that_a_deployment_may_have(url: str, wav: bytes) -> None:
    with (
        AzureOpenAI(azure_endpoint=url, api_key="any", api_version=VERSION) as client,
        pytest.raises(
            openai.NotFoundError, match="'mine' is not served here; allowed: openai/whisper-base"
        ) as caught,
    ):
        client.audio.transcriptions.create(model="mine", file=wav)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    "base", ["/api/v1", "/v2", "/v1/v1", "/v1/audio", "/v1/audio/transcriptions", "/v1/chat/completions", "/x/y/z"]
)
def test_a_wrong_base_url_is_shown_with_the_right_path(url: str, wav: bytes, base: str) -> None:
    """The client showed "Error code: 404" alone for an error in another dialect's form."""
    with (
        OpenAI(base_url=url + base, api_key="any", max_retries=0) as client,
        pytest.raises(openai.NotFoundError, match=r"did you mean POST (/v1)?/audio/transcriptions\?") as caught,
    ):
        client.audio.transcriptions.create(model="whisper-1", file=wav)
    assert caught.value.code == "unknown_url"


@pytest.mark.parametrize("base", ["", "/v1", "/openai/v1", "/api/v1"])
def test_what_is_not_served_is_shown_with_what_is(url: str, base: str) -> None:
    with (
        OpenAI(base_url=url + base, api_key="any", max_retries=0) as client,
        pytest.raises(openai.NotFoundError, match=r"does not exist; .*POST [/a-z0-9]*/audio/transcriptions"),
    ):
        client.embeddings.create(model="whisper-1", input="x")
