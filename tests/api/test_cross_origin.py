"""Pages of other sites that use the server from a browser: what a browser sends first, and what it looks at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.cross_origin import EXPOSED_HEADERS
from tests.api.conftest import every_path, make_services, serve_app
from tests.fakes import FakeTranscriber

PAGE, OTHER = "https://app.example", "https://app.example.attacker.example"
ASKED_HEADERS = "authorization,content-type,x-stainless-os"
TRANSCRIPTIONS = "/v1/audio/transcriptions"

EVERY_PATH = every_path()


@pytest.fixture
def url(transcriber: FakeTranscriber) -> Iterator[str]:
    """A server that two origins may use."""
    services = make_services(transcriber, cors_origins=(PAGE, "http://localhost:3000"))
    with serve_app(create_app(services)) as url:
        yield url


def preflight(url: str, *, origin: str, method: str = "POST") -> requests.Response:
    """Ask as a browser does before it sends a page's request."""
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": ASKED_HEADERS}
    return requests.options(url, headers={"Origin": origin, **asked}, timeout=10)


def allowed_origin(response: requests.Response) -> str | None:
    return response.headers.get("access-control-allow-origin")


def test_every_path_may_be_used_with_any_header(url: str) -> None:
    for method, path in EVERY_PATH:
        response = preflight(url + path, origin=PAGE, method=method)
        assert (response.status_code, allowed_origin(response)) == (200, PAGE), path
        assert response.headers["access-control-allow-headers"] == ASKED_HEADERS
        assert method in response.headers["access-control-allow-methods"]


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
def test_a_page_can_read_an_answer_and_its_request_id(url: str, origin: str, wav: bytes) -> None:
    response = requests.post(url, data=wav, headers={"Origin": origin}, timeout=10)
    assert response.ok
    assert allowed_origin(response) == origin
    exposed = {name.strip().lower() for name in response.headers["access-control-expose-headers"].split(",")}
    assert exposed == set(EXPOSED_HEADERS)
    assert response.headers["x-request-id"]
    assert "origin" in response.headers["vary"].lower(), "a cache must not give it to another page"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", TRANSCRIPTIONS, 400),
        ("POST", "/v2/transcriptions", 404),
        ("GET", TRANSCRIPTIONS, 405),
        ("POST", "/", 400),
    ],
)
def test_a_page_can_read_an_error(url: str, method: str, path: str, status: int) -> None:
    response = requests.request(method, url + path, headers={"Origin": PAGE}, timeout=10)
    assert (response.status_code, allowed_origin(response)) == (status, PAGE)
    assert "error" in response.json()


def test_a_page_can_read_that_a_bug_was_met(wav: bytes) -> None:
    services = make_services(FakeTranscriber(failure=RuntimeError("a bug")), cors_origins=(PAGE,))
    with serve_app(create_app(services)) as url:
        response = requests.post(url, data=wav, headers={"Origin": PAGE}, timeout=10)
    assert (response.status_code, allowed_origin(response)) == (500, PAGE)


def test_other_pages_are_told_nothing(url: str, wav: bytes) -> None:
    refused = preflight(url + TRANSCRIPTIONS, origin=OTHER)
    assert (refused.status_code, allowed_origin(refused)) == (400, None)
    assert allowed_origin(requests.post(url, data=wav, headers={"Origin": OTHER}, timeout=10)) is None


def test_all_pages_may_use_it_if_the_setting_says_so(transcriber: FakeTranscriber, wav: bytes) -> None:
    with serve_app(create_app(make_services(transcriber, cors_origins=("*",)))) as url:
        assert allowed_origin(preflight(url, origin=OTHER)) in ("*", OTHER)
        assert allowed_origin(requests.post(url, data=wav, headers={"Origin": OTHER}, timeout=10)) == "*"


def test_no_page_may_use_it_by_default(transcriber: FakeTranscriber, wav: bytes) -> None:
    with serve_app(create_app(make_services(transcriber))) as url:
        unanswered = preflight(url + TRANSCRIPTIONS, origin=PAGE)
        assert (unanswered.status_code, allowed_origin(unanswered)) == (204, None)
        assert unanswered.headers["allow"]
        assert allowed_origin(requests.post(url, data=wav, headers={"Origin": PAGE}, timeout=10)) is None
