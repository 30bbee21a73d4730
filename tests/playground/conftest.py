"""One browser for all tests of the page, on the suite's server; skipped where there is no Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE as RATE
from tests.conftest import DATA
from tests.server import Server

pytest.importorskip("selenium", reason="selenium is not installed")

from tests.playground.browser import browser_path, microphone_flags, run_browser, show
from tests.playground.page import Page


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory, speech: Waveform) -> Path:
    """A wav for the browser's microphone: eleven seconds of English between two of silence, before and after."""
    path = tmp_path_factory.mktemp("microphone") / "speech.wav"
    silence = np.zeros(2 * RATE, np.float32)
    soundfile.write(path, np.concatenate([silence, speech, silence]), RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def the_page(server: Server, microphone: Path, downloads: Path) -> Iterator[Page]:
    if browser_path() is None:
        pytest.skip("the page's tests need Chromium and chromedriver, which are not installed")
    with run_browser(flags=microphone_flags(microphone), downloads=downloads) as driver:
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
