"""What the page says when there is no microphone, no live session, or none any more; with a fake Transcriber."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_asr_endpoint.api.live_sessions import LiveLimits, LiveSessions
from hf_asr_endpoint.errors import EngineUnavailable, UnsupportedParameter
from hf_asr_endpoint.types import Health
from tests.api.test_access import KEY, access
from tests.fakes import FakeTranscriber
from tests.playground.axe import violations_in
from tests.playground.page import Page
from tests.playground.test_access import open_page
from tests.playground.test_playground import SIZES

BREAK_AUDIO = """
const devices = navigator.mediaDevices;
const open = devices.getUserMedia.bind(devices);
devices.getUserMedia = async (wish) => {
  const stream = await open(wish);
  window.tracks = stream.getTracks();
  return stream;
};
window.AudioWorkletNode = class { constructor() { throw new Error("no audio thread"); } };
"""
REFUSE = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', arguments[0]))"


@pytest.mark.parametrize(
    ("reason", "title", "advice"),
    [
        ("NotFoundError", "There is no microphone", "choose a file"),
        ("NotAllowedError", "The microphone is not allowed", "Allow it in the address bar"),
        ("NotReadableError", "The microphone is taken", "another program"),
    ],
)
def test_a_microphone_that_cannot_be_used_is_explained(page: Page, reason: str, title: str, advice: str) -> None:
    page.run(REFUSE, reason)
    page.by_id("record").click()
    page.wait_for_phase("failed")
    assert page.text("problem-title") == title
    assert advice in page.text("problem-text")
    assert page.by_id("record").is_displayed()


def test_a_file_that_is_open_stays_without_a_microphone(page: Page, recording: Path) -> None:
    page.choose(recording)
    page.run(REFUSE, "NotFoundError")
    page.by_id("record").click()
    page.wait_for_phase("failed")
    assert page.text("file-name") == recording.name
    page.by_id("start").click()
    page.wait_for_phase("done")


def test_a_microphone_that_cannot_be_heard_is_closed(page: Page) -> None:
    page.run(BREAK_AUDIO)
    page.by_id("record").click()
    page.wait_for_phase("failed")
    assert page.text("problem-title") == "The microphone cannot be used"
    assert page.run("return window.tracks.map((track) => track.readyState)") == ["ended"]


def test_a_full_server_is_explained_and_the_recording_goes_on(the_page: Page) -> None:
    with open_page(the_page, live=LiveSessions(LiveLimits(max_sessions=0))) as page:
        page.open()
        page.by_id("record").click()
        page.wait(lambda: page.text("problem-title") == "The server is busy")
        assert "allowed: 0" in page.text("problem-text")
        assert "Try again in 10 s." in page.text("problem-id")
        assert (page.phase, page.text("live-state")) == ("live", "Recording")
        page.by_id("stop").click()
        page.wait_for_phase("ready")
        assert page.text("file-name").startswith("speech-")
        page.by_id("start").click()
        page.wait_for_phase("done")
        assert page.segments


def test_a_lost_session_is_explained_and_can_be_opened_again(the_page: Page) -> None:
    transcriber = FakeTranscriber()
    with open_page(the_page, transcriber=transcriber) as page:
        page.open()
        page.speak()
        page.wait(lambda: transcriber.live_streams)
        transcriber.live_streams[0].close(EngineUnavailable("the engine has stopped"))
        page.wait(lambda: page.text("problem-text") == "The engine has stopped. The recording goes on.")
        assert page.text("problem-title") == "The live text has ended"
        for width, theme in SIZES:
            page.show(width=width, theme=theme)
            assert violations_in(page) == []
        page.by_id("retry").click()
        page.wait(lambda: page.text("live-state") == "Live")
        assert not page.by_id("problem").is_displayed()
        page.wait(lambda: len(transcriber.live_streams) == 2)
        page.by_id("stop").click()
        page.wait_for_phase("done")


@pytest.mark.parametrize("is_known", [True, False])
def test_a_model_without_live_sessions_is_explained_and_the_recording_goes_on(
    the_page: Page, is_known: bool
) -> None:
    """is_known: before its first audio, as of a model that is loaded."""
    reason = "the engine has no live sessions"
    transcriber = FakeTranscriber(failure=UnsupportedParameter(reason, parameter="model"))
    if is_known:
        transcriber = FakeTranscriber(health=Health(state="ready", no_live_sessions=reason))
    with open_page(the_page, transcriber=transcriber) as page:
        page.open()
        page.by_id("record").click()
        page.wait(lambda: page.text("problem-text") == "The engine has no live sessions. The recording goes on.")
        assert (page.phase, page.text("live-state")) == ("live", "Recording")
        page.by_id("stop").click()
        page.wait_for_phase("ready")
        assert not page.by_id("no-speech").is_displayed()


SLOW = """
Object.defineProperty(WebSocket.prototype, "bufferedAmount", { get: () => 32000 * 4 / 3 * window.behindS });
window.behindS = arguments[0];
"""


def test_a_network_that_is_slower_than_speech_ends_the_live_text(the_page: Page) -> None:
    """The words came later and later, and nothing said why. What waits at the beginning is not the network's."""
    with open_page(the_page) as page:
        page.open()
        page.run(SLOW, 60)
        page.speak()
        page.wait(lambda: page.text("recorded") >= "0:01")
        page.run("window.behindS = 71")
        page.wait(lambda: page.text("problem-title") == "The live text has ended")
        assert page.text("problem-text").startswith("The network is slower than speech: 71 s of audio wait")
        page.run("window.behindS = 0")
        page.by_id("retry").click()
        page.wait(lambda: page.text("live-state") == "Live")
        page.by_id("stop").click()
        page.wait_for_phase("done")


def test_a_browser_that_makes_no_small_file_records_a_wav(the_page: Page) -> None:
    with open_page(the_page) as page:
        page.open()
        page.run("delete window.MediaRecorder")
        page.speak()
        page.wait(lambda: page.text("recorded") >= "0:01")
        page.by_id("stop").click()
        page.wait_for_phase("done")
        assert page.text("file-name").endswith(".wav")


def test_a_server_that_goes_away_is_explained(the_page: Page) -> None:
    with open_page(the_page) as page:
        page.open()
        page.speak()
    page.wait(lambda: page.text("problem-title") == "The live text broke off")
    page.by_id("stop").click()
    page.wait_for_phase("ready")


def test_the_options_and_the_key_reach_the_session(the_page: Page) -> None:
    transcriber = FakeTranscriber()
    with open_page(the_page, transcriber=transcriber, access=access()) as page:
        page.driver.get(page.url)
        page.wait(lambda: page.by_id("key-dialog").is_displayed())
        page.by_id("key").send_keys(KEY + "\n")
        page.wait(lambda: page.text("server"))
        page.set("language", "de")
        page.set("prompt", "Namen")
        page.speak()
        page.wait(lambda: transcriber.live_options)
        page.by_id("stop").click()
        page.wait_for_phase("done")
    [options] = transcriber.live_options
    assert (options.language, options.prompt, options.audio.sample_rate) == ("de", "Namen", 16_000)
    assert transcriber.callers[0].owner == "anna"
