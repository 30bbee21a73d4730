"""Draws the pictures of the documentation (`make pictures`): a server, a recording and Chromium, as users have."""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from tests.conftest import DATA
from tests.playground.browser import browser_path, microphone_flags, run_browser, show
from tests.playground.page import Page
from tests.server import run_server

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
CLIPS = ("367-130732-0001", "2033-164914-0007", "3331-159605-0004", "1688-142285-0003")
PAUSE_S = 0.7
SHOWN_WORD = 23
REFERENCE_SHOWN = "document.getElementById('openai_create_transcription').scrollIntoView()"
THEMES = ("light", "dark")
N_SPOKEN, N_CAPTION_WORDS = 2, 8  # segments and words that there are before a picture is taken


def main() -> int:
    """Write all pictures. Returns the exit code."""
    if browser_path() is None:
        print("Chromium and chromedriver are not installed", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, run_server() as server:
        recording = Path(folder) / "readings.wav"
        _write_recording(recording)
        with run_browser(flags=microphone_flags(recording)) as driver:
            page = Page(driver, server.url)
            for theme in THEMES:
                show(driver, width=1280, height=800, theme=theme)
                _draw_transcript(page, recording, f"playground-{theme}")
                _draw_live(page, theme)
                driver.get(f"{server.url}/docs")
                page.wait(lambda: page.phase == "shown")
                page.run(REFERENCE_SHOWN)
                _draw(page, f"reference-{theme}")
    return 0


def _draw_transcript(page: Page, recording: Path, name: str) -> None:
    page.open()
    page.transcribe(recording)
    words = page.all("#segments .word")
    page.run(
        "arguments[0].click(); document.activeElement.blur(); scrollTo(0, 0)",
        words[min(SHOWN_WORD, len(words) - 1)],
    )
    page.wait(lambda: page.text("caption"))
    _draw(page, name)


def _draw_live(page: Page, theme: str) -> None:
    """Draw the page while somebody speaks, and the captions."""
    page.open()
    page.speak()
    page.wait(lambda: len(page.segments) >= N_SPOKEN and page.text("speaking-certain"))
    page.wait(lambda: page.text("speaking-uncertain"))
    page.run("document.activeElement.blur(); scrollTo(0, 0)")
    _draw(page, f"live-{theme}")
    page.by_id("captions-open").click()
    page.wait(lambda: page.text("captions-now").count(" ") > N_CAPTION_WORDS)
    page.run("document.activeElement.blur()")
    _draw(page, f"captions-{theme}")
    page.by_id("captions-leave").click()
    page.by_id("stop").click()
    page.wait_for_phase("done")


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
