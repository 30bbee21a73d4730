"""Programs that no registry has: the requests of their sources, and what they read out of the answers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import srt

from hf_asr_endpoint.audio.decode import decode_audio
from tests.clients.conftest import ENGLISH, GERMAN
from tests.clients.recorded import FOLDER, Answer, read_request, send
from tests.conftest import DATA
from tests.server import Server

SPOKEN = "ask not what your country can do for you"
OPEN_WEBUI = ("open-webui", "open-webui-language", "open-webui-json", "open-webui-mistral", "open-webui-older")


@pytest.fixture(scope="module")
def recordings() -> dict[str, bytes]:
    return {
        "jfk.mp3": (DATA / "jfk.mp3").read_bytes(),
        "lobster.s16le": headerless(ENGLISH.read_bytes()),
        "german.s16le": headerless(GERMAN.read_bytes()),
    }


def headerless(audio: bytes) -> bytes:
    """Return 16-bit samples, as ffmpeg's s16le has them."""
    waveform = np.concatenate(list(decode_audio(io.BytesIO(audio))))
    return (waveform * 32767).round().clip(-32768, 32767).astype("<i2").tobytes()


def ask(server: Server, recordings: dict[str, bytes], name: str) -> Answer:
    answer = send(server.url, read_request(name, recordings))
    assert answer.status == 200, answer.text
    return answer


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "").replace("\n", " ")


def test_every_file_is_sent_by_a_test() -> None:
    names = {path.stem for path in FOLDER.iterdir()}
    assert names == {
        *("bazarr-detect-language", "bazarr-transcribe", "bazarr-translate"),
        *OPEN_WEBUI,
        *("subtitle-edit", "subtitle-edit-stream", "subtitle-edit-openrouter"),
    }


def test_bazarr_learns_the_language(server: Server, recordings: dict[str, bytes]) -> None:
    document = json.loads(ask(server, recordings, "bazarr-detect-language").text)
    assert (document["detected_language"].lower(), document["language_code"]) == ("english", "en")


@pytest.mark.parametrize(
    ("name", "words"), [("bazarr-transcribe", "lobster not a lobster"), ("bazarr-translate", "animals")]
)
def test_bazarr_gets_subtitles(server: Server, recordings: dict[str, bytes], name: str, words: str) -> None:
    cues = list(srt.parse(ask(server, recordings, name).text, ignore_errors=False))
    assert words in plain(" ".join(cue.content for cue in cues))


@pytest.mark.parametrize("name", OPEN_WEBUI)
def test_open_webui_gets_a_text(server: Server, recordings: dict[str, bytes], name: str) -> None:
    assert SPOKEN in plain(json.loads(ask(server, recordings, name).text)["text"])


@pytest.mark.parametrize("name", ["subtitle-edit", "subtitle-edit-openrouter"])
def test_subtitle_edit_gets_segments_and_words(server: Server, recordings: dict[str, bytes], name: str) -> None:
    document: dict[str, Any] = json.loads(ask(server, recordings, name).text)
    assert SPOKEN in plain("".join(segment["text"] for segment in document["segments"]))
    assert all(segment["start"] < segment["end"] for segment in document["segments"])
    assert len(document["words"]) == len(document["text"].split())


def test_subtitle_edit_reads_the_streams_events_by_their_names(
    server: Server, recordings: dict[str, bytes]
) -> None:
    answer = ask(server, recordings, "subtitle-edit-stream")
    assert answer.media_type == "text/event-stream"
    events = list(read_named_events(answer.text))
    text = "".join(data["delta"] for name, data in events if name == "transcript.text.delta")
    assert SPOKEN in plain(text)
    assert events[-1][0] == "transcript.text.done"
    assert events[-1][1]["text"] == text
    # It takes its subtitles from here: its ids are numbers, and an event that it cannot parse is passed over.
    segments = events[-1][1]["segments"]
    assert SPOKEN in plain("".join(segment["text"] for segment in segments))
    assert [segment["id"] for segment in segments] == list(range(len(segments)))
    assert all(segment["start"] < segment["end"] for segment in segments)


def read_named_events(stream: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read a stream as Subtitle Edit does (ParseSseStreamAsync): an event without a name is passed over."""
    name, data = "", ""
    for line in stream.splitlines():
        if not line.strip():
            if name and data:
                yield name, json.loads(data)
            name, data = "", ""
        elif line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data += line.removeprefix("data:").strip() + "\n"
