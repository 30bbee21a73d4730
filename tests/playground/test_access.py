"""The page where the server asks for a key, and behind a proxy's path; with a fake Transcriber."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.api_keys import ApiKeys, read_entries
from hf_asr_endpoint.api.app import create_app
from tests.api.conftest import make_services, serve_app
from tests.fakes import FakeTranscriber
from tests.playground.browser import show
from tests.playground.page import Page

KEY = "KEY-OF-ANNA"


@contextmanager
def open_page(the_page: Page, *, transcriber: FakeTranscriber | None = None, **changes: Any) -> Iterator[Page]:
    services = make_services(transcriber or FakeTranscriber(), has_playground=True, **changes)
    with serve_app(create_app(services)) as url:
        show(the_page.driver, width=360)
        yield Page(the_page.driver, url)


def test_a_key_is_asked_for_and_kept_for_the_tab_only(the_page: Page, recording: Path) -> None:
    access = Access(keys=ApiKeys(lambda: read_entries(f"anna:{KEY}", None)), open_paths=("/health",))
    with open_page(the_page, access=access) as page:
        page.driver.get(page.url)
        page.wait(lambda: page.by_id("key-dialog").is_displayed())
        page.by_id("key").send_keys("ANOTHER\n")
        page.wait(lambda: page.text("key-wrong") == "The server does not know this key.")
        page.by_id("key").send_keys(KEY + "\n")
        page.wait(lambda: page.text("server"))
        assert not page.by_id("key-dialog").is_displayed()
        assert KEY in page.run("return Object.values(sessionStorage)")
        assert KEY not in str(page.run("return [Object.values(localStorage), document.cookie]"))
        page.transcribe(recording)
        assert "$ASR_API_KEY" in page.text("code-text")
        assert KEY not in page.run("return document.documentElement.outerHTML")


def test_the_page_works_below_a_proxys_path(the_page: Page, recording: Path) -> None:
    with open_page(the_page, root_path="/apps/whisper") as page:
        page.open("/apps/whisper")
        page.transcribe(recording)
        assert page.segments
        assert f"{page.url}/apps/whisper/v1/audio/transcriptions" in page.text("code-text")
