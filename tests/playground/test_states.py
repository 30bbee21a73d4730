"""The page while something goes on: a file that is transcribed, and jobs. With a fake Transcriber, which waits."""

from __future__ import annotations

from pathlib import Path

from hf_asr_endpoint.api.openai.job_kind import KIND, OpenAIJobKind
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.types import Word
from tests.api.conftest import MODELS
from tests.fakes import FakeTranscriber, make_segment
from tests.jobs.running import make_jobs
from tests.playground.axe import violations_in
from tests.playground.page import Page
from tests.playground.test_access import open_page
from tests.playground.test_playground import SIZES

WORDS = (
    Word(word=" Fourscore", start=0.0, end=1.0, probability=0.4),
    Word(word=" and", start=1.0, end=2.0, probability=0.9),
)
SEGMENTS = (
    make_segment(" Fourscore and", end=2.0, words=WORDS),
    make_segment(" seven years ago", start=2.0, end=4.0),
)


def check_all_sizes(page: Page) -> None:
    for width, theme in SIZES:
        page.show(width=width, theme=theme)
        assert page.run("return document.documentElement.scrollWidth") <= width
        assert violations_in(page) == []


def test_axe_finds_nothing_serious_while_a_file_is_transcribed(the_page: Page, recording: Path) -> None:
    transcriber = FakeTranscriber(segments=SEGMENTS)
    with open_page(the_page, transcriber=transcriber) as page:
        page.open()
        page.choose(recording)
        for n_shown in (0, 1):
            transcriber.hold(after=n_shown)
            page.by_id("start").click()
            page.wait(lambda n_shown=n_shown: len(page.segments) == n_shown)
            page.wait(lambda: page.text("status-text") in ("Listening", "Transcribing"))
            check_all_sizes(page)
            page.by_id("cancel").click()
            page.wait_for_phase("cancelled")
            check_all_sizes(page)


def test_axe_finds_nothing_serious_in_jobs(the_page: Page, recording: Path, tmp_path: Path) -> None:
    transcriber = FakeTranscriber(segments=SEGMENTS)
    kind = OpenAIJobKind(models=MODELS, cue_limits=CueLimits())
    jobs = make_jobs(tmp_path, transcriber, kinds={KIND: kind})
    broken = tmp_path / f"{'a-long-name-' * 15}.mp3"
    broken.write_text("This is no audio.")
    with open_page(the_page, transcriber=transcriber, jobs=jobs) as page:
        page.open()
        for n_jobs, path in enumerate((broken, recording, recording), 1):
            page.choose(path)
            if n_jobs == 3:
                transcriber.hold(after=1)
            page.by_id("as-job").click()
            page.wait(lambda n_jobs=n_jobs: len(page.all("#job-list li")) == n_jobs)
            expected = ("failed", "succeeded", "running")[n_jobs - 1]
            page.wait(lambda expected=expected: page.all("#job-list li[data-status=" + expected + "]"))
        check_all_sizes(page)
        transcriber.release()
        page.wait(lambda: len(page.all("button.job-name")) == 2)
        page.run("localStorage.clear()")


HOLD_DECODING = """
const decode = OfflineAudioContext.prototype.decodeAudioData;
const held = new Promise((resolve) => (window.decode = resolve));
OfflineAudioContext.prototype.decodeAudioData = async function (...given) {
  await held;
  return decode.apply(this, given);
};
"""


def test_a_job_that_is_being_opened_gives_way_to_a_recording(
    the_page: Page, recording: Path, tmp_path: Path
) -> None:
    transcriber = FakeTranscriber(segments=SEGMENTS)
    jobs = make_jobs(tmp_path, transcriber, kinds={KIND: OpenAIJobKind(models=MODELS, cue_limits=CueLimits())})
    with open_page(the_page, transcriber=transcriber, jobs=jobs) as page:
        page.open()
        page.choose(recording)
        page.by_id("as-job").click()
        page.wait(lambda: page.all("button.job-name"))
        page.run(HOLD_DECODING)
        page.all("button.job-name")[0].click()
        page.wait_for_phase("ready")
        page.speak()
        page.run("window.decode()")
        page.wait(lambda: page.text("recorded") >= "0:02")
        assert (page.phase, page.segments) == ("live", [])
        page.by_id("stop").click()
        page.wait_for_phase("done")
        page.run("localStorage.clear()")


HOLD_SUBMISSION = """
const real = window.fetch;
window.fetch = (address, init) => {
  if (!String(address).endsWith("/v1/jobs")) return real(address, init);
  return new Promise((_, reject) => (window.failSubmission = () => reject(new TypeError("offline"))));
};
"""


def test_a_job_that_cannot_be_submitted_leaves_a_recording_alone(
    the_page: Page, recording: Path, tmp_path: Path
) -> None:
    jobs = make_jobs(
        tmp_path, FakeTranscriber(), kinds={KIND: OpenAIJobKind(models=MODELS, cue_limits=CueLimits())}
    )
    with open_page(the_page, jobs=jobs) as page:
        page.open()
        page.run(HOLD_SUBMISSION)
        page.choose(recording)
        page.by_id("as-job").click()
        page.speak()
        page.run("window.failSubmission()")
        page.wait(lambda: page.text("problem-title") == f"{recording.name} was not submitted as a job")
        assert page.phase == "live"
        assert page.by_id("stop").is_displayed()
        assert not page.by_id("retry").is_displayed()
        page.by_id("stop").click()
        page.wait_for_phase("done")
