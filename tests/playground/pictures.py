"""Draws the pictures of the documentation (`make pictures`): a server, a recording and Chromium, as users have."""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from tests.conftest import DATA
from tests.playground.browser import browser_path, run_browser, show
from tests.playground.page import Page
from tests.server import run_server

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
CLIPS = ("367-130732-0001", "2033-164914-0007", "3331-159605-0004", "1688-142285-0003")
PAUSE_S = 0.7
SHOWN_WORD = 23
REFERENCE_SHOWN = "document.getElementById('openai_create_transcription').scrollIntoView()"
VIEWS = {"playground-light": (1280, 800, "light"), "playground-dark": (1280, 800, "dark")}


def main() -> int:
    """Write all pictures. Returns the exit code."""
    if browser_path() is None:
        print("Chromium and chromedriver are not installed", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, run_server() as server, run_browser() as driver:
        recording = Path(folder) / "readings.flac"
        _write_recording(recording)
        page = Page(driver, server.url)
        for name, (width, height, theme) in VIEWS.items():
            show(driver, width=width, height=height, theme=theme)
            page.open()
            page.transcribe(recording)
            words = page.all("#segments .word")
            page.run(
                "arguments[0].click(); document.activeElement.blur(); scrollTo(0, 0)",
                words[min(SHOWN_WORD, len(words) - 1)],
            )
            page.wait(lambda: page.text("caption"))
            _draw(page, name)
        for theme in ("light", "dark"):
            show(driver, width=1280, height=800, theme=theme)
            driver.get(f"{server.url}/docs")
            page.wait(lambda: page.phase == "shown")
            page.run(REFERENCE_SHOWN)
            _draw(page, f"reference-{theme}")
    return 0


def _draw(page: Page, name: str) -> None:
    shot = page.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    (FOLDER / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


def _write_recording(path: Path) -> None:
    """Join a few clips, so that there are several segments."""
    parts = []
    for clip in CLIPS:
        samples, rate = soundfile.read(DATA / f"{clip}.flac", dtype="float32")
        parts += [samples, np.zeros(int(PAUSE_S * rate), np.float32)]
    soundfile.write(path, np.concatenate(parts), rate)


if __name__ == "__main__":
    sys.exit(main())
