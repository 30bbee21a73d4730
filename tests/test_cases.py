"""Recordings that came back wrong from other servers, through the server with whisper-base.

The files lie next to the checkout, in shared/cases; files of the same kinds are made in the tests of each part.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.server import run_server

CASES = Path(__file__).parents[2] / "shared" / "cases"
TIMEOUT_S = 600

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")

PRINTERS = "but by printers in Strasburg, Basle, Paris, Lubeck and other cities."
ROME = "In 1465 Sweynheim and Pannartz began printing in the monastery of Subiaco near Rome."
CRAFTSMEN = (
    "And it was a matter of course that in the Middle Ages, when the craftsmen took care that beautiful form "
    "should always be a part of their productions whatever they were."
)
GERMAN_PROMPT = "Hallo, dies ist eine Sprachnachricht mit korrekter Zeichensetzung."


@pytest.fixture(scope="module")
def url(cache_dir: Path) -> Iterator[str]:
    with run_server("--cache-dir", str(cache_dir)) as running:
        yield running.url


def transcribe(url: str, name: str, media_type: str = "application/octet-stream", **fields: object) -> Any:
    data = {"response_format": "verbose_json", **fields}
    files = {"file": (name, (CASES / name).read_bytes(), media_type)}
    answer = requests.post(f"{url}/v1/audio/transcriptions", files=files, data=data, timeout=TIMEOUT_S)
    assert answer.status_code == 200, answer.text
    return answer.text if data["response_format"] in ("text", "srt", "vtt") else answer.json()


def spoken(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def share_of(expected: str, text: str) -> float:
    """Return how much of two texts' words is the same, in order: 0 to 1."""
    return SequenceMatcher(None, spoken(expected), spoken(text), autojunk=False).ratio()


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("13-pcmu.ul", "audio/PCMU"),
        ("13-pcma.al", "audio/PCMA"),
        ("13-l16-8k.raw", "audio/L16;rate=8000"),
    ],
)
def test_telephone_samples_without_a_header_have_their_text(url: str, name: str, media_type: str) -> None:
    assert share_of(PRINTERS, transcribe(url, name, media_type)["text"]) > 0.7


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "webm"])
def test_audio_that_begins_late_has_the_times_of_its_container(url: str, suffix: str) -> None:
    answer = transcribe(url, f"17-audio-starts-at-4087ms.{suffix}")
    assert share_of(PRINTERS, answer["text"]) > 0.7
    assert answer["segments"][0]["start"] == pytest.approx(4.087, abs=0.3)
    assert answer["duration"] == pytest.approx(4.087 + 5.93, abs=0.1)


@pytest.mark.parametrize("suffix", ["mkv", "webm"])
def test_speech_behind_missing_packets_has_the_times_of_its_container(url: str, suffix: str) -> None:
    answer = transcribe(url, f"18-gap-of-5s.{suffix}", **{"timestamp_granularities[]": "word"})
    assert share_of(f"{PRINTERS} {ROME}", answer["text"]) > 0.7
    behind = next(word for word in answer["words"] if word["word"] == "In")
    assert behind["start"] == pytest.approx(11.2, abs=0.15)
    assert answer["duration"] == pytest.approx(19.2, abs=0.15)


@pytest.mark.parametrize("name", ["19-damaged-page.ogg", "19-ten-zeroed-packets.aac", "19-26-bytes.flac"])
def test_a_file_damaged_in_the_middle_keeps_its_text_and_its_times(url: str, name: str) -> None:
    answer = transcribe(url, name, **{"timestamp_granularities[]": "word"})
    assert share_of(CRAFTSMEN, answer["text"]) > 0.8
    should = next(word for word in answer["words"] if word["word"] == "should")
    assert should["start"] == pytest.approx(6.32, abs=0.2)


@pytest.mark.parametrize(
    "name", ["20-right-is-minus-left.mp3", "21-second-track-default.mkv", "22-id3-before-riff.wav"]
)
def test_unusual_channels_tracks_and_headers_have_their_text(url: str, name: str) -> None:
    assert share_of(ROME, transcribe(url, name)["text"]) > 0.7


def test_a_later_piece_of_a_recording_is_refused_with_advice(url: str) -> None:
    files = {"file": ("piece.webm", (CASES / "23-second-slice.webm").read_bytes())}
    answer = requests.post(f"{url}/v1/audio/transcriptions", files=files, timeout=TIMEOUT_S)
    assert answer.status_code == 400
    assert "later piece of a recording" in answer.json()["error"]["message"]
    assert "joined" in answer.json()["error"]["message"]


def test_a_tenth_of_a_second_has_no_text(url: str) -> None:
    assert transcribe(url, "24-100ms.wav")["text"] == ""


def test_one_english_word_does_not_translate_the_german_behind_it(url: str) -> None:
    text = spoken(transcribe(url, "27-one-english-word-then-german.ogg")["text"])
    assert {"sediment", "sandbank", "insbesondere", "gesichts"} <= set(text)
    assert not {"the", "and", "that"} & set(text)


def test_each_passage_is_in_its_own_language_without_repetition(url: str) -> None:
    answer = transcribe(url, "28-german-english-german.ogg")
    assert answer["language"] == "german"
    languages = [segment.get("language", "german") for segment in answer["segments"]]
    assert [language for language, _ in itertools.groupby(languages)] == ["german", "english", "german"]
    assert has_no_repetition(answer["text"])


def test_deepinfras_default_repeats_no_sentence(url: str) -> None:
    files = {"audio": (CASES / "28-german-english-german.ogg").read_bytes()}
    answer = requests.post(f"{url}/v1/inference/openai/whisper-base", files=files, timeout=TIMEOUT_S)
    assert has_no_repetition(answer.json()["text"])


def has_no_repetition(text: str) -> bool:
    sentences = [" ".join(spoken(sentence)) for sentence in re.split(r"[.!?]", text) if len(spoken(sentence)) > 3]
    return len(sentences) == len(set(sentences))


@pytest.mark.parametrize(
    ("name", "silence_s", "speech_s", "expected"),
    [
        ("29-10s-silence-then-en.flac", 10, 10.05, {"printers", "paris", "cities"}),
        ("29-10s-silence-then-sv.flac", 10, 10.8, {"barnbarn", "leker", "busar"}),
        # "edestä" is as likely as "elestä".
        ("29-10s-silence-then-fi.flac", 10, 10.15, {"vaan", "ja"}),
        ("29-3s-silence-then-fi.flac", 3, 3.15, {"vaan", "ja"}),
    ],
)
def test_silence_before_speech_changes_neither_text_nor_times(
    url: str, name: str, silence_s: float, speech_s: float, expected: set[str]
) -> None:
    answer = transcribe(url, name, **{"timestamp_granularities[]": ["word", "segment"]})
    assert expected <= set(spoken(answer["text"]))
    assert len(spoken(answer["text"])) < 16
    assert answer["segments"][0]["start"] == pytest.approx(speech_s, abs=0.3)
    assert all(word["end"] > word["start"] >= silence_s for word in answer["words"])


def test_words_far_apart_in_noise_all_come_back(url: str) -> None:
    files = {"audio": (CASES / "33-german-words-in-silence.flac").read_bytes()}
    answer = requests.post(
        f"{url}/v1/inference/openai/whisper-base", files=files, data={"language": "de"}, timeout=TIMEOUT_S
    ).json()
    starts = [segment["start"] for segment in answer["segments"]]
    assert [round(start / 10) for start in starts] == [0, 1, 2, 3, 4, 5]


def test_a_prompt_decides_no_language(url: str) -> None:
    answer = transcribe(url, "34-fr-with-german-prompt.wav", prompt=GERMAN_PROMPT)
    assert answer["language"] == "french"
    assert {"consulat", "conservateur", "eaux"} <= set(spoken(answer["text"]))


def test_lines_and_cues_of_subtitles_keep_their_limits(url: str) -> None:
    for name in ("37-line-over-42.mp3", "37-cue-of-0.24s.mp3"):
        cues = transcribe(url, name, response_format="srt").strip().split("\n\n")
        assert cues
        for cue in cues:
            _, times, *lines = cue.split("\n")
            assert all(len(line) <= 42 for line in lines)
            start_s, end_s = (seconds(time) for time in times.split(" --> "))
            assert end_s - start_s > 0.799


def seconds(time: str) -> float:
    hours, minutes, rest = time.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest.replace(",", "."))


@pytest.mark.parametrize("name", ["18-gap-of-5s.mkv", "37-line-over-42.mp3", "29-10s-silence-then-sv.flac"])
def test_every_format_has_the_same_text(url: str, name: str) -> None:
    expected = spoken(transcribe(url, name, response_format="json")["text"])
    verbose = transcribe(url, name)
    assert spoken(verbose["text"]) == expected
    assert spoken(" ".join(segment["text"] for segment in verbose["segments"])) == expected
    assert spoken(transcribe(url, name, response_format="text")) == expected
    for form in ("srt", "vtt"):
        lines = transcribe(url, name, response_format=form).split("\n")
        text = " ".join(line for line in lines if line != "WEBVTT" and "-->" not in line and not line.isdigit())
        assert spoken(text) == expected
