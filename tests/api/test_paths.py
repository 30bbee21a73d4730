"""Which paths exist, in every spelling that clients make of them, and what HEAD and OPTIONS answer."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests
from openai import NotFoundError, OpenAI
from starlette.routing import Route

from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.deepinfra.model_schemas import ENDPOINT as SCHEMAS
from hf_asr_endpoint.api.deepinfra.routes import PATHS as DEEPINFRA_PATHS
from hf_asr_endpoint.api.paths import clean_path
from tests.api.conftest import MODEL_NAMES, make_path_table, make_services, serve_app
from tests.fakes import FakeTranscriber

TIMEOUT_S = 10.0
TEXT = "16000 samples"
PATHS = make_path_table()

OPENAI_PREFIXES = ("", "/v1", "/v1/openai", "/openai/v1", "/openai")
DEPLOYMENTS = ("/openai/deployments/whisper-1", "/openai/deployments/openai/whisper-base")
HUGGING_FACE_PATHS = (
    "/",
    "/v1",
    "/predict",
    "/models/openai/whisper-base",
    "/models/whisper-base",
    "/hf-inference/models/openai/whisper-base",
    "/pipeline/automatic-speech-recognition/openai/whisper-base",
    "/models/openai/whisper-base/pipeline/automatic-speech-recognition",
)


def request(method: str, url: str, path: str, **content: Any) -> requests.Response:
    """Send a request whose path stays as it is: requests itself would repair some."""
    prepared = requests.Request(method, url, **content).prepare()
    prepared.url = url + path
    with requests.Session() as session:
        return session.send(prepared, timeout=TIMEOUT_S, allow_redirects=False)


def post_form(url: str, path: str, wav: bytes, *, file_field: str = "file", **fields: str) -> requests.Response:
    return request("POST", url, path, files={file_field: ("a.wav", wav)}, data=fields)


@pytest.mark.parametrize("prefix", [*OPENAI_PREFIXES, *DEPLOYMENTS])
@pytest.mark.parametrize(("operation", "task"), [("transcriptions", "transcribe"), ("translations", "translate")])
def test_openais_audio_paths(
    url: str, wav: bytes, transcriber: FakeTranscriber, prefix: str, operation: str, task: str
) -> None:
    answer = post_form(url, f"{prefix}/audio/{operation}", wav, model="whisper-1")
    assert (answer.status_code, answer.json()["text"]) == (200, TEXT)
    assert [options.task for options in transcriber.options] == [task]


@pytest.mark.parametrize("prefix", OPENAI_PREFIXES)
@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("openai/whisper-base", "openai/whisper-base"),
        ("openai/whisper-base", "openai%2Fwhisper-base"),
        ("openai/whisper-base", "openai%2fwhisper%2Dbase"),
        ("whisper-1", "whisper-1/"),
    ],
)
def test_openais_models(url: str, prefix: str, name: str, written: str) -> None:
    assert request("GET", url, f"{prefix}/models").json()["data"][0]["id"] == MODEL_NAMES[0]
    assert request("GET", url, f"{prefix}/models/{written}").json()["id"] == name


@pytest.mark.parametrize("path", HUGGING_FACE_PATHS)
@pytest.mark.parametrize("spelling", ["{}", "{}/", "/{}", "/{}//"])
def test_hugging_faces_paths(url: str, wav: bytes, path: str, spelling: str) -> None:
    document = {"inputs": base64.b64encode(wav).decode()}
    assert request("POST", url, spelling.format(path), data=wav).json() == {"text": TEXT}
    assert request("POST", url, spelling.format(path), json=document).json() == {"text": TEXT}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/inference/openai/whisper-base",
        "/v1/inference/openai%2Fwhisper-base",
        "/v1/inference/openai/whisper-base/",
        "/v1/inference//openai//whisper-base",
        "/v1/inference/deploy/whisper-base//",
    ],
)
def test_deepinfras_paths(url: str, wav: bytes, path: str) -> None:
    assert post_form(url, path, wav, file_field="audio").json()["text"] == TEXT


@pytest.mark.parametrize(
    ("path", "file_field"),
    [
        ("/asr/", "audio_file"),
        ("//asr", "audio_file"),
        ("/detect-language/", "audio_file"),
        ("/inference/", "file"),
        ("//inference//", "file"),
    ],
)
def test_paths_of_small_dialects(url: str, wav: bytes, path: str, file_field: str) -> None:
    assert request("POST", url, path, files={file_field: ("a.wav", wav)}).status_code == 200


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "//v1/audio//transcriptions/"])
def test_mistrals_clients_are_known_in_every_spelling_of_the_path(url: str, wav: bytes, path: str) -> None:
    headers = {"User-Agent": "mistral-client-python/1"}
    files, form = {"file": ("a.wav", wav)}, {"model": "whisper-1"}
    assert request("POST", url, path, files=files, data=form, headers=headers).json()["model"] == "whisper-1"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/audio/transcriptions/",
        "//v1/audio/transcriptions",
        "/v1//audio/transcriptions",
        "/v1/audio//transcriptions//",
        "///v1///audio///transcriptions///",
        "/v1/audio%2Ftranscriptions",
        "/v1%2F%2Faudio/transcriptions",
        "//audio/transcriptions",
        "/openai/v1//audio/transcriptions/",
        "/openai//deployments/whisper-1//audio/transcriptions/",
    ],
)
def test_doubled_and_trailing_slashes_lose_no_body(url: str, wav: bytes, path: str) -> None:
    """A base URL that ends in a slash makes doubled ones. A redirect made clients send the form again, or not."""
    answer = post_form(url, path, wav, model="whisper-1")
    assert (answer.status_code, answer.json().get("text")) == (200, TEXT)


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/", "/"),
        ("", "/"),
        ("//", "/"),
        ("/v1/", "/v1"),
        ("//v1//models//a//b//", "/v1/models/a/b"),
        ("/a b/ ", "/a b/ "),
        ("/" * 1_000_000, "/"),
        ("//a" * 300_000, "/a" * 300_000),
    ],
    ids=lambda value: value[:20],
)
def test_clean_paths(path: str, clean: str) -> None:
    assert clean_path(path) == clean


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/apps/whisper/health", 200),
        ("/apps/whisper//health/", 200),
        ("/health", 200),
        ("/apps/whisper", 405),
        ("/apps/whisperer/health", 404),
        ("/apps/whisper/apps/whisper/health", 404),
    ],
)
def test_a_proxys_path_is_removed_once(path: str, status: int) -> None:
    with serve_app(create_app(make_services(FakeTranscriber(), root_path="/apps/whisper"))) as url:
        assert request("GET", url, path).status_code == status


def test_openais_client_works_below_a_proxys_path(wav: bytes) -> None:
    with serve_app(create_app(make_services(FakeTranscriber(), root_path="/apps/whisper"))) as url:
        client = OpenAI(base_url=f"{url}/apps/whisper/v1", api_key="any", max_retries=0)
        assert client.audio.transcriptions.create(model="whisper-1", file=("a.wav", wav)).text == TEXT
        with pytest.raises(NotFoundError, match="whisper-9"):
            client.audio.transcriptions.create(model="whisper-9", file=("a.wav", wav))


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/", "POST, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/v1/audio/transcriptions/", "POST, OPTIONS"),
        ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/models/whisper-1", "POST, GET, HEAD, OPTIONS"),
        ("/v1/requests/x", "GET, HEAD, DELETE, OPTIONS"),
        ("/openai/deployments/x/audio/translations", "POST, OPTIONS"),
    ],
)
def test_options_lists_the_methods(url: str, path: str, allow: str) -> None:
    answer = request("OPTIONS", url, path)
    assert (answer.status_code, answer.content, answer.headers["allow"]) == (204, b"", allow)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/info/", 200), ("/v1/models", 200), ("/models/whisper-1", 200), ("/models/x", 404)],
)
def test_head_answers_like_get_without_a_body(url: str, path: str, status: int) -> None:
    head, get = request("HEAD", url, path), request("GET", url, path)
    assert (head.status_code, get.status_code, head.content) == (status, status, b"")
    assert head.headers["content-length"] == str(len(get.content))


def test_every_operation_of_the_table_has_a_handler() -> None:
    with pytest.raises(KeyError, match="infer"):
        DEEPINFRA_PATHS.routes({})


@pytest.mark.parametrize("index", range(len(PATHS.endpoints)), ids=lambda i: PATHS.endpoints[i][0].path)
def test_each_endpoint_is_reached_in_its_dialect(index: int) -> None:
    """None is hidden behind a wider one of another dialect."""
    endpoint, dialect = PATHS.endpoints[index]
    path = endpoint.path.replace("{model:path}", "x/y").replace("{id}", "x")
    assert endpoint.method in PATHS.methods_of(path)
    assert PATHS.dialect_of(endpoint.method, path) == dialect


def test_the_application_serves_the_table_and_nothing_else() -> None:
    served = {
        (route.path, method)
        for route in create_app(make_services(FakeTranscriber())).routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }
    table = {(endpoint.path, method) for endpoint, _ in PATHS.endpoints for method in endpoint.methods}
    # Below OpenAI's list of models, whose table has it.
    assert served == table | {(SCHEMAS.path, method) for method in SCHEMAS.methods}


def test_prefixes_differ() -> None:
    paths = [prefix.path for dialect in PATHS.dialects for prefix in dialect.prefixes]
    assert len(set(paths)) == len(paths)
