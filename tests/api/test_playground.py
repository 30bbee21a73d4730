"""The page at `GET /`: who gets it, with which headers, and what stays as it is without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.api_keys import ApiKeys, read_entries
from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.page_files import MEDIA_TYPES
from hf_asr_endpoint.api.playground import FILES
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from tests.api.conftest import make_services, serve_app
from tests.fakes import FakeTranscriber
from tests.test_layers import MAX_LINES

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
ANY = {"Accept": "*/*"}


@contextmanager
def serving(*, has_playground: bool = True, has_keys: bool = False, root_path: str = "") -> Iterator[str]:
    keys = ApiKeys(lambda: read_entries("anna:KEY-OF-ANNA", None))
    access = Access(keys=keys, open_paths=("/health",)) if has_keys else None
    services = make_services(FakeTranscriber(), has_playground=has_playground, access=access, root_path=root_path)
    with serve_app(create_app(services)) as url:
        yield url


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as url:
        yield url


def test_a_browser_gets_the_page(url: str) -> None:
    answer = requests.get(url, headers=BROWSER, timeout=10)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Accept" in answer.headers["vary"]
    assert requests.head(url, headers=BROWSER, timeout=10).status_code == 200


@pytest.mark.parametrize("headers", [ANY, {"Accept": "application/json"}, {"Accept": "text/htmlx"}])
def test_other_clients_get_what_they_get_without_a_page(url: str, headers: dict[str, str]) -> None:
    with serving(has_playground=False) as without:
        answers = [requests.get(server, headers=headers, timeout=10) for server in (url, without)]
    assert [answer.status_code for answer in answers] == [405, 405]
    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["allow"] == answers[1].headers["allow"]


def test_a_post_is_the_hugging_face_task_for_browsers_too(url: str, wav: bytes) -> None:
    assert "text" in requests.post(url, data=wav, headers=BROWSER, timeout=10).json()


def test_the_page_needs_nothing_from_another_host_and_forbids_it(url: str) -> None:
    answer = requests.get(url, headers=BROWSER, timeout=10)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    for name in sorted(path.name for path in FILES.iterdir()):
        text = (FILES / name).read_text()
        addresses = re.findall(r"https?://[^\s\"')>]+", text)
        assert all(address.startswith(("http://www.w3.org/", "https://html.spec.")) for address in addresses)
        assert "style=" not in text
        assert "innerHTML" not in text


def test_each_file_has_its_type_and_is_asked_for_again_only_when_it_changes(url: str) -> None:
    page = requests.get(url, headers=BROWSER, timeout=10).text
    assert {path.suffix for path in FILES.iterdir()} <= MEDIA_TYPES.keys()
    for name in re.findall(r'(?:src|href)="(playground/[^"]+)"', page):
        answer = requests.get(f"{url}/{name}", timeout=10)
        assert answer.headers["content-type"] == MEDIA_TYPES["." + name.rsplit(".", 1)[1]]
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = requests.get(f"{url}/{name}", headers={"If-None-Match": answer.headers["etag"]}, timeout=10)
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2Fconfig.py", "__init__.py"])
def test_a_file_that_is_not_the_pages_does_not_exist(url: str, name: str) -> None:
    answer = requests.get(f"{url}/playground/{name}", timeout=10)
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_without_a_page_its_files_do_not_exist() -> None:
    with serving(has_playground=False) as url:
        assert requests.get(url, headers=BROWSER, timeout=10).status_code == 405
        assert requests.get(f"{url}/playground/app.js", headers=BROWSER, timeout=10).status_code == 404


def test_the_page_needs_no_key_and_all_else_does() -> None:
    with serving(has_keys=True) as url:
        assert requests.get(url, headers=BROWSER, timeout=10).status_code == 200
        assert requests.get(f"{url}/playground/app.js", timeout=10).status_code == 200
        for path in ("/", "/info", "/v1/models"):
            assert requests.get(f"{url}{path}", headers=ANY, timeout=10).status_code == 401
        assert requests.post(f"{url}/playground/app.js", timeout=10).status_code == 401


@pytest.mark.parametrize("path", ["/whisper", "/whisper/", "/"])
def test_behind_a_proxys_path_addresses_have_that_path(path: str) -> None:
    with serving(root_path="/whisper") as url:
        page = requests.get(url + path, headers=BROWSER, timeout=10).text
        assert 'src="/whisper/playground/app.js"' in page
        assert '="playground/' not in page
        assert requests.get(f"{url}/whisper/playground/app.js", timeout=10).status_code == 200


def test_the_page_offers_the_languages_of_whisper() -> None:
    listed = re.findall(r'"([a-z ]+)"', (FILES / "languages.js").read_text().split("const AS_BROWSERS")[0])
    assert set("".join(listed).split()) == set(LANGUAGE_NAMES)


@pytest.mark.parametrize("path", sorted(FILES.glob("*.js")), ids=lambda path: path.name)
def test_the_pages_modules_stay_small(path: Path) -> None:
    assert path.read_text().count("\n") <= MAX_LINES
