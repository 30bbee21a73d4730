"""The fields that shape subtitles, in the dialects that have them."""

from __future__ import annotations

import pytest
import requests

from tests.api.conftest import Serve
from tests.fakes import FakeTranscriber, make_segment

TIMEOUT_S = 30
TEXT = " one two three four five six seven eight nine ten eleven twelve"


def post(url: str, wav: bytes, **fields: str) -> requests.Response:
    return requests.post(
        f"{url}/v1/audio/transcriptions",
        data={"model": "whisper-1", **fields},
        files={"file": wav},
        timeout=TIMEOUT_S,
    )


@pytest.fixture
def url(serve: Serve) -> str:
    return serve(FakeTranscriber(segments=[make_segment(TEXT, end=6.0)]))


@pytest.mark.parametrize(
    ("response_format", "media_type", "beginning"),
    [
        ("srt", "application/x-subrip", "1\n00:00:00,000 --> 00:00:06,000\none two"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:06.000\none two"),
        ("ass", "text/x-ssa", "[Script Info]\n"),
        ("lrc", "text/plain", "[00:00.00]one two"),
        ("tsv", "text/tab-separated-values", "start\tend\ttext\n0\t6000\tone two"),
    ],
)
def test_each_format_has_its_media_type(
    url: str, wav: bytes, response_format: str, media_type: str, beginning: str
) -> None:
    answer = post(url, wav, response_format=response_format)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert answer.text.startswith(beginning)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"max_line_width": "10"}, "one two"),
        ({"max_words_per_line": "3"}, "one two three"),
        ({"highlight_words": "true"}, "<u>one</u> two three four five"),
    ],
)
def test_the_shape_is_that_of_the_request(url: str, wav: bytes, fields: dict[str, str], line: str) -> None:
    answer = post(url, wav, response_format="srt", **fields)
    assert answer.text.splitlines()[2].startswith(line)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_line_width": "0"}, "max_line_width is '0'; allowed: a whole number from 1 to 1000"),
        ({"max_line_width": "1e9"}, "max_line_width is '1e9'; allowed: a whole number from 1 to 1000"),
        ({"max_line_count": "two"}, "max_line_count is 'two'; allowed: a whole number from 1 to 100"),
        ({"highlight_words": "perhaps"}, "highlight_words is 'perhaps'; allowed: true or false"),
        ({"max_line_width": "20", "response_format": "json"}, "allowed with max_line_width: srt, vtt, ass, lrc"),
        ({"max_line_count": "1", "response_format": "tsv"}, "allowed with max_line_count: srt, vtt, ass, lrc"),
        ({"highlight_words": "true", "response_format": "lrc"}, "allowed with highlight_words: srt, vtt, ass"),
    ],
)
def test_what_has_no_effect_is_refused(url: str, wav: bytes, fields: dict[str, str], message: str) -> None:
    answer = post(url, wav, **{"response_format": "srt", **fields})
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize("response_format", ["srt", "vtt", "ass", "lrc", "tsv"])
def test_subtitles_are_not_streamed(url: str, wav: bytes, response_format: str) -> None:
    answer = post(url, wav, response_format=response_format, stream="true")
    assert answer.status_code == 400
    assert "cannot be streamed" in answer.json()["error"]["message"]
