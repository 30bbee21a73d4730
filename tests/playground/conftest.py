"""One browser for all tests of the page, on the suite's server; skipped where there is no Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import DATA
from tests.server import Server

pytest.importorskip("selenium", reason="selenium is not installed")

from tests.playground.browser import browser_path, run_browser, show
from tests.playground.page import Page


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory, speech: object) -> Path:
    """A wav of eleven seconds of English, which the browser takes for its microphone, again and again."""
    import soundfile

    path = tmp_path_factory.mktemp("microphone") / "speech.wav"
    soundfile.write(path, speech, 16_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def the_page(server: Server, microphone: Path, downloads: Path) -> Iterator[Page]:
    if browser_path() is None:
        pytest.skip("the page's tests need Chromium and chromedriver, which are not installed")
    flags = (
        *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
        f"--use-file-for-fake-audio-capture={microphone}",
    )
    with run_browser(flags=flags, downloads=downloads) as driver:
        yield Page(driver, server.url)


@pytest.fixture
def page(the_page: Page) -> Page:
    """The page as a new visitor sees it, on a wide screen."""
    show(the_page.driver, width=1440)
    the_page.open()
    return the_page


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A file of eleven seconds of English."""
    return Path(shutil.copy(DATA / "jfk.mp3", tmp_path / "jfk.mp3"))


@pytest.fixture
def long_file(tmp_path: Path, long_recording: bytes) -> Path:
    """A file of more than one window."""
    path = tmp_path / "long.flac"
    path.write_bytes(long_recording)
    return path
