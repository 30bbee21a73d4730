"""The page in Chromium, on a server with whisper-base."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import srt
import webvtt
from selenium.webdriver.common.keys import Keys

from tests.conftest import DATA
from tests.playground.axe import violations_in
from tests.playground.browser import show
from tests.playground.page import Page

SPOKEN = "ask what you can do for your country"
SIZES = [(width, theme) for width in (360, 1440) for theme in ("light", "dark")]
CODE_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def done(the_page: Page) -> Page:
    """The page with the transcript of a recording, for tests that only look at it."""
    show(the_page.driver, width=1440)
    the_page.open()
    the_page.transcribe(DATA / "jfk.mp3")
    return the_page


def test_a_file_becomes_text(done: Page) -> None:
    assert SPOKEN in " ".join(done.segments)
    assert "Done" in done.text("status-text")
    assert "× real time" in done.text("status-facts")
    assert "0:11" in done.text("facts")
    assert done.all(".wave-bands rect")
    assert done.text("total") == "0:11"


def test_a_click_on_a_segment_or_a_word_moves_the_audio(done: Page) -> None:
    last = done.all("#segments li")[-1]
    words = last.find_elements("css selector", ".word")
    for item in (last.find_element("css selector", ".at"), words[-1]):
        before = done.position_s
        item.click()
        done.wait(lambda before=before: done.position_s != before)
    assert done.position_s == pytest.approx(float(words[-1].get_attribute("data-start") or 0), abs=0.1)
    done.wait(lambda: "spoken" in (words[-1].get_attribute("class") or ""))
    assert last.get_attribute("aria-current") == "true"
    assert done.text("caption")


def test_the_keyboard_moves_the_audio_and_the_focus(done: Page) -> None:
    done.by_id("wave").send_keys(Keys.HOME)
    done.wait(lambda: done.position_s == 0)
    done.by_id("wave").send_keys(Keys.ARROW_RIGHT)
    done.wait(lambda: done.position_s == 5)
    if len(done.segments) > 1:
        first, second = done.all("#segments .at")[:2]
        first.send_keys(Keys.ARROW_DOWN)
        assert done.driver.switch_to.active_element == second


def test_a_correction_is_in_the_subtitles_and_in_each_download(done: Page, downloads: Path) -> None:
    done.all("#segments .edit")[0].click()
    field = done.all("#segments textarea")[0]
    field.send_keys(Keys.HOME, "Hear, hear: ")
    done.run("document.getElementById('wave').focus()")
    done.by_id("wave").send_keys(Keys.HOME)
    assert done.segments[0].startswith("Hear, hear: ")
    done.all("#segments .word")[0].click()
    done.wait(lambda: done.text("caption").startswith("Hear, hear:"))
    for button in done.all("#downloads button"):
        button.click()
    names = ("txt", "srt", "vtt", "json", "tsv", "lrc")
    done.wait(lambda: all((downloads / f"jfk.{name}").exists() for name in names))
    files = {name: (downloads / f"jfk.{name}").read_text() for name in names}
    text = files["txt"].replace("\n", " ").strip()
    assert text.startswith("Hear, hear: ")
    assert SPOKEN in text
    cues = [
        [" ".join(cue.content.split()) for cue in srt.parse(files["srt"])],
        [" ".join(cue.text.split()) for cue in webvtt.from_string(files["vtt"])],
        [line.split("]")[1] for line in files["lrc"].splitlines()],
        [line.split("\t")[2] for line in files["tsv"].splitlines()[1:]],
    ]
    assert [" ".join(texts) for texts in cues] == [text] * 4
    document = json.loads(files["json"])
    assert document["text"] == text
    words = [word for segment in document["segments"] for word in segment["words"]]
    assert " ".join(word["word"] for word in words) == text
    assert all(word["start"] <= word["end"] for word in words)
    assert all(left["start"] <= right["start"] for left, right in itertools.pairwise(words))


def test_escape_restores_a_text(done: Page) -> None:
    before = done.segments
    done.all("#segments .edit")[-1].click()
    done.all("#segments textarea")[0].send_keys("x", Keys.ESCAPE)
    assert done.segments == before


@pytest.mark.parametrize(("width", "theme"), SIZES)
def test_axe_finds_nothing_serious(done: Page, width: int, theme: str) -> None:
    show(done.driver, width=width, theme=theme)
    assert done.run("return document.documentElement.scrollWidth") <= width
    done.wait(lambda: done.run("return document.documentElement.dataset.theme") == theme)
    assert violations_in(done) == []


@pytest.mark.parametrize(("width", "theme"), [(360, "dark"), (1440, "light")])
def test_axe_finds_nothing_serious_in_other_states(page: Page, tmp_path: Path, width: int, theme: str) -> None:
    show(page.driver, width=width, theme=theme)
    page.wait(lambda: page.run("return document.documentElement.dataset.theme") == theme)
    assert (page.phase, violations_in(page)) == ("empty", [])
    text = tmp_path / f"{'a-long-name-' * 15}.mp3"
    text.write_text("This is no audio.")
    page.choose(text)
    assert violations_in(page) == []
    page.by_id("start").click()
    page.wait_for_phase("failed")
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert violations_in(page) == []


def test_the_theme_can_be_chosen(done: Page) -> None:
    show(done.driver, width=1440, theme="light")
    done.by_id("theme").click()
    assert done.run("return document.documentElement.dataset.theme") == "dark"
    done.by_id("theme").click()
    assert done.run("return document.documentElement.dataset.theme") == "light"
    done.run("localStorage.clear()")


@pytest.mark.parametrize("tab", ["curl", "openai-python", "huggingface_hub", "deepinfra (requests)"])
def test_the_code_shown_runs_with_the_options_set(page: Page, recording: Path, tab: str) -> None:
    page.choose(recording)
    page.set("prompt", 'A speech\'s "words", @ or <.')
    page.set("beams", 2)
    code = page.code(tab)
    assert "num_beams" in code
    command = ["bash", "-c", code] if tab == "curl" else [sys.executable, "-c", code]
    ran = subprocess.run(
        command, cwd=recording.parent, capture_output=True, text=True, timeout=CODE_TIMEOUT_S, check=False
    )
    assert SPOKEN in ran.stdout, ran.stderr


def test_text_grows_while_it_is_decoded(page: Page, long_file: Path) -> None:
    page.choose(long_file)
    page.run(
        "window.seen = []; new MutationObserver(() => window.seen.push([document.body.dataset.phase,"
        " document.querySelectorAll('#segments li').length]))"
        ".observe(document.getElementById('segments'), { childList: true })"
    )
    page.by_id("start").click()
    page.wait_for_phase("done")
    seen = page.run("return window.seen")
    assert {phase for phase, _ in seen} == {"busy"}
    assert len({n for _, n in seen}) > 1


def test_cancel_ends_the_request(page: Page, long_file: Path) -> None:
    page.choose(long_file)
    page.run(
        "document.getElementById('start').click();"
        "setTimeout(() => document.getElementById('cancel').click(), 50);"  # A fast server is done before a user.
    )
    page.wait_for_phase("cancelled")
    assert page.text("status-text") == "Cancelled"
    assert page.by_id("start").is_enabled()


def test_a_text_file_gives_an_error_that_people_can_read(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("These are notes.")
    page.choose(path)
    page.by_id("start").click()
    page.wait_for_phase("failed")
    assert page.text("problem-title") == "This is not a recording"
    assert "not audio of a known format" in page.text("problem-text")
    assert page.text("problem-id").startswith("Request ")


def test_a_job_is_listed_followed_and_opened(page: Page, recording: Path) -> None:
    page.choose(recording)
    page.by_id("as-job").click()
    page.wait(lambda: page.all("button.job-name"))
    assert "Done" in page.text("job-list")
    page.open()
    page.wait(lambda: page.all("button.job-name"))
    page.all("button.job-name")[0].click()
    page.wait_for_phase("done")
    assert SPOKEN in " ".join(page.segments)
    assert page.all("#segments .word")
    page.all("#job-list .quiet")[0].click()
    page.wait(lambda: not page.all("#job-list li"))


def test_no_request_leaves_the_host(the_page: Page) -> None:
    """Of all that the tests before this one have asked for."""
    logged = [json.loads(entry["message"])["message"] for entry in the_page.driver.get_log("performance")]
    requested = [one["params"]["request"]["url"] for one in logged if one["method"] == "Network.requestWillBeSent"]
    sockets = [one["params"]["url"] for one in logged if one["method"] == "Network.webSocketCreated"]
    parts = [urlsplit(url) for url in (*requested, *sockets) if not url.startswith(("blob:", "data:"))]
    assert len(parts) > 20
    assert {part.hostname for part in parts} == {urlsplit(the_page.url).hostname}
    assert not [entry for entry in the_page.driver.get_log("browser") if "Content Security" in entry["message"]]
