"""Samples without a header, described by a media type, in every dialect; and a file's audio tracks."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import requests

from tests.audio.test_tracks import HIGH, LOW, write_tracks
from tests.fakes import FakeTranscriber

TIMEOUT_S = 20
CASES = Path(__file__).parents[3] / "shared" / "cases"
OPENAI, DEEPINFRA, HUGGING_FACE = "/v1/audio/transcriptions", "/v1/inference/openai/whisper-base", "/"

Send = Callable[..., requests.Response]


def openai_form(url: str, data: bytes, media_type: str, **fields: object) -> requests.Response:
    files = {"file": ("a.raw", data, media_type)}
    return requests.post(url + OPENAI, files=files, data={"model": "whisper-1", **fields}, timeout=TIMEOUT_S)


def openai_translation(url: str, data: bytes, media_type: str, **fields: object) -> requests.Response:
    files = {"file": ("a.raw", data, media_type)}
    path = "/v1/audio/translations"
    return requests.post(url + path, files=files, data={"model": "whisper-1", **fields}, timeout=TIMEOUT_S)


def deepinfra_form(url: str, data: bytes, media_type: str, **fields: object) -> requests.Response:
    return requests.post(
        url + DEEPINFRA, files={"audio": ("a.raw", data, media_type)}, data=fields, timeout=TIMEOUT_S
    )


def deepinfra_unnamed_part(url: str, data: bytes, media_type: str, **fields: object) -> requests.Response:
    return requests.post(
        url + DEEPINFRA, files={"audio": (None, data, media_type)}, data=fields, timeout=TIMEOUT_S
    )


def deepinfra_data_url(url: str, data: bytes, media_type: str, **fields: object) -> requests.Response:
    audio = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
    return requests.post(url + DEEPINFRA, json={"audio": audio, **fields}, timeout=TIMEOUT_S)


def hugging_face_body(url: str, data: bytes, media_type: str, **fields: object) -> requests.Response:
    headers = {"Content-Type": media_type}
    return requests.post(
        url + HUGGING_FACE,
        data=data,
        headers=headers,
        params={name: str(value) for name, value in fields.items()},
        timeout=TIMEOUT_S,
    )


def hugging_face_data_url(url: str, data: bytes, media_type: str, **fields: object) -> requests.Response:
    inputs = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
    return requests.post(url + HUGGING_FACE, json={"inputs": inputs, "parameters": fields}, timeout=TIMEOUT_S)


every_dialect = pytest.mark.parametrize(
    "send",
    [
        openai_form,
        openai_translation,
        deepinfra_form,
        deepinfra_unnamed_part,
        deepinfra_data_url,
        hugging_face_body,
        hugging_face_data_url,
    ],
)


def make_samples(n_bytes: int) -> bytes:
    return (np.sin(np.arange(n_bytes // 2) / 9) * 9_000).astype("<i2").tobytes()


@every_dialect
@pytest.mark.parametrize(
    ("media_type", "n_bytes", "n_samples"),
    [
        ("audio/L16;rate=8000", 16_000, 16_000),
        ("audio/L16;rate=16000;channels=1", 16_000, 8_000),
        ("audio/l16; channels=2; rate=48000", 48_000, 4_000),
        ("audio/pcm;rate=24000", 24_000, 8_000),
        ("audio/pcm; rate=16000; endianness=little-endian", 16_000, 8_000),
        ("audio/PCMU", 8_000, 16_000),
        ("audio/PCMU;rate=16000", 8_000, 8_000),
        ("audio/PCMA", 8_000, 16_000),
        ("audio/pcma; rate=8000; channels=2", 8_000, 8_000),
        ("audio/basic", 8_000, 16_000),
        ("audio/x-mulaw;rate=8000", 8_000, 16_000),
    ],
)
def test_a_media_type_describes_samples(
    url: str, send: Send, media_type: str, n_bytes: int, n_samples: int
) -> None:
    answer = send(url, make_samples(n_bytes), media_type)
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"] == f"{n_samples} samples"


@every_dialect
@pytest.mark.parametrize("media_type", ["audio/L16;rate=8000", "audio/PCMU", "audio/pcm"])
def test_a_media_type_is_ignored_if_the_bytes_have_a_header(
    url: str, wav: bytes, send: Send, media_type: str
) -> None:
    answer = send(url, wav, media_type)
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"] == "16000 samples"


@every_dialect
@pytest.mark.parametrize("media_type", ["audio/L16", "audio/pcm;rate=fast", "audio/PCMU;channels=0"])
def test_a_media_type_that_describes_nothing_usable_is_refused(url: str, send: Send, media_type: str) -> None:
    answer = send(url, make_samples(8_000), media_type)
    assert answer.status_code in (400, 422)
    assert "rate in Hz and channels" in answer.text


@every_dialect
@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("13-l16-8k.raw", "audio/L16;rate=8000"),
        ("13-pcmu.ul", "audio/PCMU"),
        ("13-pcma.al", "audio/PCMA"),
    ],
)
def test_the_reported_files_are_accepted(url: str, send: Send, name: str, media_type: str) -> None:
    if not (CASES / name).exists():
        pytest.skip("the shared cases are not here")
    assert send(url, (CASES / name).read_bytes(), media_type).json()["text"] == "94852 samples"


@every_dialect
def test_the_track_of_a_request_is_decoded(url: str, transcriber: FakeTranscriber, send: Send) -> None:
    answer = send(url, write_tracks([LOW, HIGH], default=[0]), "video/x-matroska", audio_track=1)
    assert answer.status_code == 200, answer.text
    assert transcriber.options[-1].audio_track == 1


@every_dialect
def test_a_track_that_the_file_lacks_is_refused(url: str, send: Send) -> None:
    answer = send(url, write_tracks([LOW, HIGH], default=[0]), "video/x-matroska", audio_track=2)
    assert answer.status_code in (400, 422)
    assert "audio_track is 2, but the file has 2 audio tracks; allowed: 0 to 1" in answer.text


@every_dialect
@pytest.mark.parametrize("track", ["-1", "first", "1.5", "100000"])
def test_a_track_that_is_no_index_is_refused(url: str, wav: bytes, send: Send, track: str) -> None:
    answer = send(url, wav, "audio/wav", audio_track=track)
    assert answer.status_code in (400, 422)
    assert "audio_track" in answer.text


@every_dialect
def test_a_later_piece_of_a_recording_is_400(url: str, send: Send) -> None:
    data = write_tracks([LOW], default=[0])
    answer = send(url, data[data.index(b"\x1f\x43\xb6\x75") :], "audio/webm")
    assert answer.status_code == 400
    assert "joined from the first one on" in answer.text
