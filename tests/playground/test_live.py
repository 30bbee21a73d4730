"""Speaking into the page, in Chromium with a file for its microphone, on a server with whisper-base."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import srt
from selenium.webdriver.common.keys import Keys

from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import decode
from tests.playground.axe import violations_in
from tests.playground.browser import show
from tests.playground.page import Page
from tests.playground.test_playground import SIZES, SPOKEN

REFERENCE = (
    "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
)
N_WORDS = len(REFERENCE.split())
MAX_WER = 0.2  # A busy machine lets a microphone's audio go, and confirms words later.
SPEECH_END = "0:13"  # on the page's clock
WATCH = """
window.seen = [];
const ids = ["recorded", "speaking-certain", "speaking-uncertain"];
const texts = () => ids.map((id) => document.getElementById(id).textContent);
new MutationObserver(() => window.seen.push(texts())).observe(
  document.getElementById("speaking"), { childList: true, subtree: true, characterData: true }
);
"""
COLOR = "return getComputedStyle(document.getElementById(arguments[0])).color"


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


RESAMPLE = """
const [from, hz, end] = arguments;
import("/playground/resampler.js").then(({ Resampler }) => {
  const resampler = new Resampler(from, 16000);
  const tone = Float32Array.from({ length: from }, (_, index) => Math.sin((2 * Math.PI * hz * index) / from));
  const blocks = [];
  for (let at = 0; at < from; at += 2432) blocks.push(...resampler.push(tone.subarray(at, at + 2432)));
  end(blocks);
});
"""


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_the_microphones_rate_is_brought_to_whispers(the_page: Page, rate: int) -> None:
    the_page.driver.get(the_page.url)
    for hz in (200, 3_000):
        found = np.array(the_page.driver.execute_async_script(RESAMPLE, rate, hz))
        assert 16_000 - len(found) < 200
        ideal = np.sin(2 * np.pi * hz * np.arange(len(found)) / 16_000)
        assert np.abs(found - ideal)[200:].max() < 0.01
    if rate > 40_000:
        aliased = np.array(the_page.driver.execute_async_script(RESAMPLE, rate, 9_000))
        assert np.abs(aliased[200:]).max() < 0.01


@pytest.fixture(scope="module")
def speaking(the_page: Page) -> Page:
    """The page while somebody speaks into it."""
    show(the_page.driver, width=1440)
    the_page.open()
    the_page.run(WATCH)
    the_page.speak()
    the_page.wait(lambda: the_page.text("speaking-certain"))
    return the_page


def heard(page: Page) -> str:
    """Return the words that are certain."""
    return plain(" ".join([*page.segments, page.text("speaking-certain")]))


@pytest.fixture(scope="module")
def spoken(speaking: Page) -> Page:
    """The page with what was spoken: all of it, and the beginning of it once more, up to Stop."""
    speaking.show(width=1440, theme="light")
    speaking.wait(lambda: len(heard(speaking).split()) > N_WORDS)
    speaking.by_id("stop").click()
    speaking.wait_for_phase("done")
    return speaking


def test_words_appear_while_somebody_speaks_and_lighter_while_they_may_change(speaking: Page) -> None:
    speaking.wait(lambda: speaking.text("speaking-uncertain"))
    assert speaking.run(COLOR, "speaking-certain") != speaking.run(COLOR, "speaking-uncertain")
    speaking.wait(lambda: speaking.text("speaking-at").startswith("0:"))  # Empty between two turns.
    assert not speaking.by_id("player").is_displayed()


@pytest.mark.parametrize(("width", "theme"), SIZES)
def test_axe_finds_nothing_serious_while_somebody_speaks(speaking: Page, width: int, theme: str) -> None:
    speaking.show(width=width, theme=theme)
    assert speaking.run("return document.documentElement.scrollWidth") <= width
    assert speaking.by_id("stop").is_displayed()
    assert violations_in(speaking) == []


def test_captions_fill_the_screen_until_escape(speaking: Page) -> None:
    speaking.show(width=1440, theme="light")
    speaking.by_id("captions-open").click()
    speaking.wait(lambda: speaking.text("captions-text"))
    assert speaking.run("return document.activeElement.id") == "captions-leave"
    assert speaking.text("captions-state") == "Live"
    before = size_of_captions(speaking)
    speaking.driver.switch_to.active_element.send_keys("+")
    assert size_of_captions(speaking) > before
    speaking.driver.switch_to.active_element.send_keys("-")
    for width, theme in SIZES:
        speaking.show(width=width, theme=theme)
        assert speaking.run("return document.documentElement.scrollWidth") <= width
        assert violations_in(speaking) == []
    speaking.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    speaking.wait(lambda: not speaking.by_id("captions").is_displayed())
    speaking.wait(lambda: speaking.run("return document.activeElement.id") == "captions-open")
    assert not speaking.run("return document.querySelector('main').inert")


def size_of_captions(page: Page) -> float:
    size: str = page.run("return getComputedStyle(document.getElementById('captions-text')).fontSize")
    return float(size.removesuffix("px"))


def test_stop_ends_the_last_turn_and_the_text_is_right(spoken: Page) -> None:
    found = plain(" ".join(spoken.segments)).split()
    assert jiwer.wer(REFERENCE, " ".join(found[:N_WORDS])) <= MAX_WER
    assert "English" in spoken.text("facts")
    assert not spoken.by_id("status").is_displayed()
    seen = spoken.run("return window.seen")
    assert any(certain and at < SPEECH_END for at, certain, _ in seen)
    assert any(certain and uncertain for _, certain, uncertain in seen)
    deltas = [certain for _, certain, _ in seen]
    grown = [(left, right) for left, right in itertools.pairwise(deltas) if left and right]
    assert all(right.startswith(left) for left, right in grown)


def test_the_recording_is_played_along_the_words(spoken: Page) -> None:
    words = spoken.all("#segments .word")
    country = next(word for word in words if word.text.startswith("country"))
    country.click()
    spoken.wait(lambda: "spoken" in (country.get_attribute("class") or ""))
    at_s = float(country.get_attribute("data-start") or 0)
    assert spoken.position_s == pytest.approx(at_s, abs=0.1)
    spoken.by_id("play").click()
    spoken.wait(lambda: spoken.position_s > at_s + 0.3)
    spoken.by_id("play").click()
    assert spoken.all(".wave-bands rect")


def test_what_was_spoken_is_corrected_and_downloaded(spoken: Page, downloads: Path) -> None:
    spoken.all("#segments .edit")[0].click()
    spoken.all("#segments textarea")[0].send_keys(Keys.CONTROL + Keys.HOME + Keys.NULL, "Hear, hear: ", Keys.ENTER)
    name = spoken.text("file-name").removesuffix(".webm")
    for button in spoken.all("#downloads button"):
        if button.text in ("srt", "json"):
            button.click()
    spoken.by_id("save-recording").click()
    paths = {suffix: downloads / f"{name}.{suffix}" for suffix in ("srt", "json", "webm")}
    spoken.wait(lambda: all(path.exists() for path in paths.values()))
    cues = list(srt.parse(paths["srt"].read_text()))
    assert cues[0].content.startswith("Hear, hear: ")
    document: dict[str, Any] = json.loads(paths["json"].read_text())
    assert document["language"] == "english"
    words = [word for segment in document["segments"] for word in segment["words"]]
    assert all(left["start"] <= right["start"] for left, right in itertools.pairwise(words))
    assert words[-1]["end"] <= document["duration"]
    duration_s = len(decode(paths["webm"].read_bytes())) / SAMPLE_RATE
    assert duration_s == pytest.approx(document["duration"], abs=0.15), "the browser's two captures end apart"
    assert paths["webm"].stat().st_size < 8_000 * duration_s


def test_the_recording_can_be_transcribed_as_a_file(spoken: Page) -> None:
    assert spoken.text("start") == "Transcribe again"
    spoken.run("document.getElementById('start').click()")  # It is busy from then on.
    spoken.wait_for_phase("done")
    assert SPOKEN in " ".join(spoken.segments).lower()


def test_what_is_to_be_translated_is_recorded_and_transcribed_later(page: Page) -> None:
    page.set("task", "translate")
    page.by_id("record").click()
    page.wait(lambda: page.text("live-state") == "Recording")
    page.wait(lambda: page.text("recorded") >= "0:01")
    page.by_id("stop").click()
    page.wait_for_phase("ready")
    assert page.text("file-name").startswith("speech-")
    assert page.by_id("start").is_enabled()
    assert asks_before_leaving(page)
    page.by_id("clear").click()
    assert not asks_before_leaving(page)


def asks_before_leaving(page: Page) -> bool:
    script = "const leaving = new Event('beforeunload', { cancelable: true }); return !dispatchEvent(leaving)"
    return bool(page.run(script))


STOPPED = """
const [end] = arguments;
import("/playground/recorder.js").then(async ({ Recorder }) => {
  let piece;
  const recorder = new Recorder(() => piece?.());
  await recorder.open();
  await new Promise((resolve) => (piece = resolve));
  await new Promise((resolve) => setTimeout(resolve, 30)); // The next piece has begun.
  const before = recorder.durationS;
  document.getElementById("stop").dispatchEvent(new Event("click"));
  await recorder.stopped;
  end(recorder.durationS - before);
});
"""


def test_a_recording_has_the_last_moment_before_stop(page: Page) -> None:
    assert page.driver.execute_async_script(STOPPED) > 0.005


SINCE = """
const [seconds, end] = arguments;
import("/playground/recorder.js").then(async ({ Recorder }) => {
  const heard = [];
  const recorder = new Recorder((samples) => heard.push(...samples));
  await recorder.open();
  while (recorder.durationS < 0.5) await new Promise((resolve) => setTimeout(resolve, 20));
  const since = recorder.since(seconds);
  const isTail = since.every((sample, index) => sample === heard[Math.round(seconds * 16000) + index]);
  end([heard.length - since.length, isTail, since.buffer.byteLength === since.byteLength]);
  document.getElementById("stop").dispatchEvent(new Event("click"));
});
"""


@pytest.mark.parametrize("seconds", [0, 0.03, 0.21])
def test_a_session_that_is_opened_again_gets_the_end_of_the_recording_alone(page: Page, seconds: float) -> None:
    assert page.driver.execute_async_script(SINCE, seconds) == [round(seconds * 16_000), True, True]
