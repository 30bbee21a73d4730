"""`/openapi.json` and `/docs`: who gets them, with which headers, and under which addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.api_keys import ApiKeys, read_entries
from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.description.routes import FILES
from hf_asr_endpoint.api.page_files import HEADERS
from tests.api.conftest import make_services, serve_app
from tests.fakes import FakeTranscriber
from tests.test_layers import MAX_LINES

OPENED = ("/docs", "/docs/reference.js", "/openapi.json")
KEY = {"Authorization": "Bearer KEY-OF-ANNA"}


@contextmanager
def serving(**changes: Any) -> Iterator[str]:
    with serve_app(create_app(make_services(FakeTranscriber(), **changes))) as url:
        yield url


def access(*open_paths: str) -> Access:
    return Access(keys=ApiKeys(lambda: read_entries("anna:KEY-OF-ANNA", None)), open_paths=open_paths)


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=30)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.mark.parametrize("path", OPENED)
def test_each_is_sent_again_only_when_it_changes(url: str, path: str) -> None:
    answer = get(url + path)
    assert answer.headers.items() >= HEADERS.items()
    again = get(url + path, **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_needs_nothing_from_another_host(url: str) -> None:
    page = get(f"{url}/docs").text
    names = re.findall(r'(?:src|href)="docs/([^"]+)"', page)
    assert {path.name for path in FILES.iterdir()} - {"index.html"} - {"operation.js", "schema.js"} <= set(names)
    assert all(get(f"{url}/docs/{name}").status_code == 200 for name in names)
    for path in FILES.iterdir():
        text = path.read_text()
        assert set(re.findall(r"https?://[^\s\"')>]+", text)) <= {"http://localhost:8000"}
        assert "style=" not in text
        assert "innerHTML" not in text
        assert text.count("\n") <= MAX_LINES


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "app.js"])
def test_a_file_that_is_not_the_pages_does_not_exist(url: str, name: str) -> None:
    assert get(f"{url}/docs/{name}").status_code == 404


@pytest.mark.parametrize("path", OPENED)
def test_they_need_a_key_unless_a_setting_opens_them(path: str) -> None:
    with serving(access=access("/health")) as closed, serving(access=access("/docs")) as opened:
        assert [get(server + path).status_code for server in (closed, opened)] == [401, 200]
        assert get(closed + path, **KEY).status_code == 200


def test_the_document_says_which_operations_need_a_key(url: str) -> None:
    with serving(access=access("/docs", "/metrics")) as closed:
        paths = get(f"{closed}/openapi.json").json()["paths"]
    needing = {path for path, item in paths.items() for operation in item.values() if operation["security"]}
    assert set(paths) - needing == {"/docs", "/openapi.json", "/metrics"}
    assert "401" in paths["/health"]["get"]["responses"]
    assert '"401"' not in get(f"{url}/openapi.json").text


def test_a_proxys_path_is_the_servers_address_and_before_the_pages_files() -> None:
    with serving(root_path="/whisper") as url:
        assert get(f"{url}/openapi.json").json()["servers"] == [{"url": "/whisper"}]
        assert 'src="/whisper/docs/reference.js"' in get(f"{url}/whisper/docs").text
