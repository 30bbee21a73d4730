"""The page of the API in Chromium; with a fake Transcriber, which it does not ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.described import ADDRESS
from tests.api.conftest import make_services, serve_app
from tests.fakes import FakeTranscriber
from tests.playground.axe import violations_in
from tests.playground.browser import show
from tests.playground.page import Page
from tests.playground.test_playground import SIZES

OTHER_APIS = "for (const api of document.querySelectorAll('.api:not(:nth-child(2))')) api.remove()"
"""Removes them: they are made of the same parts, which take long to look at."""


@pytest.fixture(scope="module")
def reference(the_page: Page) -> Iterator[Page]:
    """The page, shown whole."""
    services = make_services(FakeTranscriber(), has_playground=True)
    with serve_app(create_app(services)) as url:
        yield open_reference(Page(the_page.driver, url), "/docs")


def open_reference(page: Page, path: str) -> Page:
    show(page.driver, width=1440)
    page.driver.get(page.url + path)
    page.wait(lambda: page.phase == "shown")
    return page


def test_each_operation_is_shown_with_its_fields_errors_and_command(reference: Page) -> None:
    document = requests.get(f"{reference.url}/openapi.json", timeout=30).json()
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    shown = {item.get_attribute("id"): item for item in reference.all(".operation")}
    for operation in operations:
        command = operation["x-codeSamples"][0]["source"].replace(ADDRESS, reference.url)
        assert command in shown[operation["operationId"]].text
    transcription = shown["openai_create_transcription"].text
    for text in ("temperature", "default 0", "Allowed: 0, or a number from 0.001 to 1.", "required", " errors"):
        assert text in transcription
    assert len(reference.all(".contents a")) >= len(operations)


def test_folded_parts_open_with_the_keyboard(reference: Page) -> None:
    summary = reference.all("#openai_create_transcription .errors > summary")[0]
    reference.run("arguments[0].focus()", summary)
    summary.send_keys("\n")
    reference.wait(lambda: "The limit of requests" in reference.by_id("openai_create_transcription").text)


@pytest.mark.parametrize(("width", "theme"), SIZES)
def test_axe_finds_nothing(reference: Page, width: int, theme: str) -> None:
    show(reference.driver, width=width, theme=theme)
    reference.run(OTHER_APIS)
    assert reference.run("return document.documentElement.scrollWidth") <= width
    reference.wait(lambda: reference.run("return document.documentElement.dataset.theme") == theme)
    assert violations_in(reference) == []


@pytest.mark.parametrize("path", ["/docs/", "/docs#operators_info"])
def test_the_page_works_at_each_of_its_addresses(reference: Page, path: str) -> None:
    assert open_reference(reference, path).all(".operation")


def test_the_page_works_below_a_proxys_path(the_page: Page) -> None:
    with serve_app(create_app(make_services(FakeTranscriber(), root_path="/apps/whisper"))) as url:
        page = open_reference(Page(the_page.driver, url), "/apps/whisper/docs")
        assert f"curl {url}/apps/whisper/health" in page.by_id("operators_health").text
