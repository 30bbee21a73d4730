"""Subtitle files are read by the packages `srt` and `webvtt-py`."""

from __future__ import annotations

import html
import io
from datetime import timedelta

import av
import pytest
import srt
import webvtt

from hf_asr_endpoint.subtitles.cues import Cue
from hf_asr_endpoint.subtitles.formats import render_ass, render_lrc, render_srt, render_tsv, render_vtt
from tests.fakes import make_segment

CUES = [
    Cue(start=0.0, end=5.8, text="How are you?"),
    Cue(start=5.8, end=6.0004, text="Two lines,\nGrüße & <i>音</i>"),
    Cue(start=59.9996, end=60.0, text="12"),
    Cue(start=3_661.25, end=3_725.5, text="A --> B"),
    Cue(start=100 * 3600 + 1.001, end=123 * 3600.0, text="NOTE late"),
]


def test_srt_has_numbers_and_comma_times() -> None:
    assert render_srt(CUES[:2]) == (
        "1\n00:00:00,000 --> 00:00:05,800\nHow are you?\n\n"
        "2\n00:00:05,800 --> 00:00:06,000\nTwo lines,\nGrüße & <i>音</i>\n\n"
    )


def test_vtt_has_the_layout_of_whisper_1() -> None:
    assert render_vtt(CUES[:1]) == "WEBVTT\n\n00:00:00.000 --> 00:00:05.800\nHow are you?\n\n"


def test_vtt_escapes_markup() -> None:
    assert "Grüße &amp; &lt;i&gt;音&lt;/i&gt;\n" in render_vtt(CUES)
    assert "A --&gt; B\n" in render_vtt(CUES)


@pytest.mark.parametrize("text", ["-->", "a --> b", "---->", "-- ->>"])
def test_no_arrow_is_left_in_the_text(text: str) -> None:
    cue = Cue(start=0.0, end=1.0, text=text)
    assert render_srt([cue]).count("-->") == 1
    assert render_vtt([cue]).count("-->") == 1


def test_files_without_cues_are_valid() -> None:
    assert render_srt([]) == ""
    assert render_vtt([]) == "WEBVTT\n\n"


def test_a_cue_without_length_is_shown_for_a_millisecond() -> None:
    assert "00:00:01,000 --> 00:00:01,001" in render_srt([Cue(start=1.0, end=1.0, text="a")])


def test_srt_round_trips() -> None:
    read = list(srt.parse(render_srt(CUES), ignore_errors=False))
    assert [cue.index for cue in read] == [1, 2, 3, 4, 5]
    assert [cue.content for cue in read] == [cue.text.replace("-->", "->") for cue in CUES]
    assert read[4].start == timedelta(hours=100, milliseconds=1_001)
    for cue, back in zip(CUES, read, strict=True):
        assert abs(back.start.total_seconds() - cue.start) <= 0.001
        assert abs(back.end.total_seconds() - cue.end) <= 0.0015


def test_vtt_round_trips() -> None:
    read = webvtt.from_buffer(io.StringIO(render_vtt(CUES)))
    assert [html.unescape(cue.raw_text) for cue in read] == [cue.text for cue in CUES]
    for cue, back in zip(CUES, read, strict=True):
        assert abs(_seconds(back.start) - cue.start) <= 0.001
        assert abs(_seconds(back.end) - cue.end) <= 0.0015


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


MARKED = Cue(start=1.0, end=1.5, text="now\n<here> & {there}", marked=(4, 10))


def test_marked_words_are_underlined() -> None:
    assert render_srt([MARKED]).splitlines()[2:4] == ["now", "<u><here></u> & {there}"]
    assert render_vtt([MARKED]).splitlines()[3:5] == ["now", "<u>&lt;here&gt;</u> &amp; {there}"]
    assert r"now\N{\u1}<here>{\u0} & \{there\}" in render_ass([MARKED])


def test_ffmpeg_reads_ass() -> None:
    events = read_ass(CUES)
    assert [text for _, _, text in events][:2] == ["How are you?", r"Two lines,\NGrüße & <i>音</i>"]
    for cue, (start, end, _) in zip(CUES, events, strict=True):
        assert abs(start - cue.start) <= 0.006
        assert abs(end - cue.end) <= 0.016


def read_ass(cues: list[Cue]) -> list[tuple[float, float, str]]:
    """Return the start, the end and the text of each cue, as FFmpeg reads them."""
    with av.open(io.BytesIO(render_ass(cues).encode()), format="ass") as container:
        (stream,) = container.streams.subtitles
        return [
            (
                float(packet.pts * packet.time_base),
                float((packet.pts + packet.duration) * packet.time_base),
                bytes(packet).decode().split(",", 8)[8],
            )
            for packet in container.demux(stream)
            if packet.size
        ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("One two.", "[01:05.26]One two."),
        ("Two\nlines", "[01:05.26]Two lines"),
        ("两行\n文字", "[01:05.26]两行文字"),
        ("[Music]", "[01:05.26] [Music]"),
    ],
)
def test_lrc_has_a_line_for_each_cue(text: str, line: str) -> None:
    assert render_lrc([Cue(start=65.256, end=70.0, text=text)]) == f"{line}\n"


def test_lrc_counts_minutes_beyond_an_hour() -> None:
    assert render_lrc([Cue(start=3_661.25, end=3_700.0, text="late")]) == "[61:01.25]late\n"


def test_tsv_is_openai_whispers_table_of_segments() -> None:
    segments = [make_segment(" One\ttwo.", start=0.0, end=1.2345), make_segment(" Three.", start=2.5, end=3.0)]
    assert render_tsv(segments) == "start\tend\ttext\n0\t1234\tOne two.\n2500\t3000\tThree.\n"
