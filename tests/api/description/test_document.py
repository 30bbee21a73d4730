"""The OpenAPI document: valid, complete, and true of what clients send."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from openapi_spec_validator import validate
from pydantic import BaseModel
from starlette.routing import Route

from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.asr_webservice import schema as asr_webservice_schema
from hf_asr_endpoint.api.deepinfra import schema as deepinfra_schema
from hf_asr_endpoint.api.described import SPEECH_FILE
from hf_asr_endpoint.api.huggingface import schema as huggingface_schema
from hf_asr_endpoint.api.meanings import MEANINGS
from hf_asr_endpoint.api.mistral import schema as mistral_schema
from hf_asr_endpoint.api.openai import schema as openai_schema
from hf_asr_endpoint.api.whispercpp import schema as whispercpp_schema
from tests.api.conftest import make_services, serve_app
from tests.api.description.contract import METHODS, Contract
from tests.clients.recorded import FOLDER, read_request
from tests.fakes import FakeTranscriber
from tests.test_readme import PAGES

HIDDEN = {("/v1/inference", "POST"), ("/playground/{file}", "GET"), ("/docs/{file}", "GET")} | {
    (f"{path}/{name}", "POST")
    for path in ("/v1/realtime", "/openai/v1/realtime", "/realtime")
    for name in ("transcription_sessions", "calls")
}
"""Paths that only say what is missing or not served, and files of pages."""

FIELDS: dict[str, tuple[type[BaseModel], ...]] = {
    "/": (huggingface_schema.Parameters, huggingface_schema.GenerationParameters),
    "/v1/audio/transcriptions": (openai_schema.Parameters, mistral_schema.Parameters),
    "/v1/audio/translations": (openai_schema.Parameters,),
    "/v1/inference/{model}": (deepinfra_schema.Parameters,),
    "/asr": (asr_webservice_schema.Parameters,),
    "/inference": (whispercpp_schema.Parameters,),
    "/v1/jobs": (openai_schema.Parameters,),
}
"""The models that validate the requests of each path."""

CURL = re.compile(r"curl [^|\n]+")


@pytest.fixture(scope="module")
def document() -> Iterator[dict[str, Any]]:
    with serve_app(create_app(make_services(FakeTranscriber(), has_playground=True))) as url:
        yield requests.get(f"{url}/openapi.json", timeout=10).json()


@pytest.fixture(scope="module")
def contract(document: dict[str, Any]) -> Contract:
    return Contract(document)


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)


def test_its_paths_are_those_of_the_application(document: dict[str, Any]) -> None:
    app = create_app(make_services(FakeTranscriber(), has_playground=True))
    served = {
        (re.sub(":[a-z]+}", "}", route.path), method)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = set()
    for path, item in document["paths"].items():
        assert set(item) <= set(METHODS)
        for method, operation in item.items():
            described |= {(path, method.upper())}
            described |= {tuple(reversed(alias.split(" "))) for alias in operation["x-aliases"]}
    assert served - HIDDEN == described


@pytest.mark.parametrize("path", FIELDS)
def test_each_field_that_is_validated_is_described(contract: Contract, path: str) -> None:
    operation = contract.document["paths"][path]["post"]
    found = {parameter["name"] for parameter in operation["parameters"]}
    for content in operation["requestBody"]["content"].values():
        found |= set(fields_in(contract, content["schema"]))
    for model in FIELDS[path]:
        assert set(model.model_fields) <= found


def fields_in(contract: Contract, schema: dict[str, Any]) -> Iterator[str]:
    """Yield the names of all properties, at any depth."""
    for kind in schema.get("anyOf", [schema]):
        for name, field in contract.resolve(kind).get("properties", {}).items():
            yield name
            yield from fields_in(contract, field)


def test_each_field_has_a_meaning_and_each_meaning_a_field() -> None:
    fields = {name for models in FIELDS.values() for model in models for name in model.model_fields}
    assert fields | {"model"} == set(MEANINGS)


def test_examples_are_what_their_schemas_say(contract: Contract) -> None:
    n_examples = 0
    for item in contract.document["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                for kind, content in response.get("content", {}).items():
                    for name, example in content.get("examples", {}).items():
                        if kind == "application/json":
                            contract.check(content["schema"], example["value"])
                        assert example["value"], (operation["operationId"], status, name)
                        n_examples += 1
    assert n_examples > 100


def test_each_operation_has_a_command_that_it_describes(contract: Contract) -> None:
    for path, item in contract.document["paths"].items():
        for operation in item.values():
            for sample in operation["x-codeSamples"]:
                assert check_curl(contract, sample["source"]) == operation["operationId"], path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_the_documentation_are_described(contract: Contract, page: Path) -> None:
    for command in CURL.findall(page.read_text()):
        if "localhost" in command:
            check_curl(contract, command.rstrip("\\").split(")")[0].split(" 2>")[0])


def check_curl(contract: Contract, command: str) -> str:
    """Check the path and the fields of a command. Return the operation's name."""
    words = shlex.split(command.replace("$id", "R0").replace("`", ""))
    values: dict[str, list[str]] = {}
    for flag, value in itertools.pairwise(words):
        values.setdefault(flag, []).append(value)
    url = next(word for word in words if "localhost" in word)
    url = url if "://" in url else f"http://{url}"
    url = url if "/" in url.removeprefix("http://") else f"{url}/"
    fields = [field.split("=", 1) for field in values.get("-F", [])]
    method = values.get("-X", ["POST" if fields or {"-d", "--data-binary"} & set(words) else "GET"])[0]
    boundary = "--limit"
    parts = [
        f'{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        + (f'; filename="{SPEECH_FILE}"' if value.startswith("@") else "")
        + f"\r\n\r\n{value}\r\n"
        for name, value in fields
    ]
    body = "".join([*parts, f"{boundary}--\r\n"]).encode() if fields else b""
    kind = "multipart/form-data; boundary=limit" if fields else "audio/mpeg"
    if "-d" in values:
        kind, body = "application/json", values["-d"][0].encode()
    contract.check_request(method, url, kind, body)
    return str(contract.operation_of(method, requests.utils.urlparse(url).path)["operationId"])


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.iterdir()))
def test_recorded_requests_are_described(contract: Contract, name: str) -> None:
    sounds = dict.fromkeys(("jfk.mp3", "lobster.s16le", "german.s16le"), b"RIFF")
    recorded = read_request(name, sounds)
    kind = dict(recorded.headers)["Content-Type"]
    contract.check_request(recorded.method, recorded.path, kind, recorded.body)
