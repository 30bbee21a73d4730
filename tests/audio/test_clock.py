"""Samples are where the container's clock puts them; what is absent or damaged is silence."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from hf_asr_endpoint.audio.clock import MAX_GAP_S, MAX_OVERLAP_S, Timeline
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import Samples, decode, write_ffmpeg, write_sound

RATE = 48_000
CASES = Path(__file__).parents[3] / "shared" / "cases"
PITCHES_HZ = (400.0, 700.0, 1_100.0, 1_600.0)

Change = Callable[[int, float], float | None]
"""From a packet's number and time in seconds to its new time, or None for a packet that is left out."""


def make_steps() -> Samples:
    """Return a second of each pitch: the pitch tells the time."""
    times_s = np.arange(RATE) / RATE
    tones = [0.3 * np.sin(2 * np.pi * pitch * times_s) for pitch in PITCHES_HZ]
    return np.concatenate(tones).astype(np.float32)[:, None]


STEPS = make_steps()


def remux(container: str, codec: str, change: Change, *, with_picture: bool = False) -> bytes:
    """Encode the tones, and write their packets with other times."""
    encoded = write_ffmpeg(STEPS, RATE, container="matroska", codec=codec, bit_rate=64_000)
    file = io.BytesIO()
    options = {"avoid_negative_ts": "disabled"}
    with (
        av.open(io.BytesIO(encoded)) as source,
        av.open(file, "w", format=container, container_options=options) as target,
    ):
        picture = (
            target.add_stream("libvpx" if container == "webm" else "mpeg4", rate=10, width=32, height=32)
            if with_picture
            else None
        )
        stream = target.add_stream_from_template(source.streams.audio[0])
        if picture is not None:
            for index in range(100):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, 10)
                target.mux(picture.encode(frame))
        for number, packet in enumerate(source.demux(audio=0)):
            if packet.pts is None or packet.time_base is None:
                continue
            time_s = change(number, float(packet.pts * packet.time_base))
            if time_s is not None:
                packet.time_base = Fraction(1, RATE)
                packet.pts, packet.dts = round(time_s * RATE), round(time_s * RATE)
                if container == "matroska":
                    packet.dts = number - 10**6  # The muxer refuses times that go back.
                packet.stream = stream
                target.mux(packet)
    return file.getvalue()


def assert_pitches(waveform: Waveform, starts_s: list[float | None]) -> None:
    """Check that each pitch begins at its time, within 100 ms; None: not at all."""
    n_hop = SAMPLE_RATE // 50
    framed = waveform[: len(waveform) // n_hop * n_hop].reshape(-1, n_hop) * np.hanning(n_hop)
    times_s = np.arange(n_hop) / SAMPLE_RATE
    for pitch, start_s in zip(PITCHES_HZ, starts_s, strict=True):
        level = np.abs(framed @ np.exp(-2j * np.pi * pitch * times_s))
        is_audible = level > 0.1 * n_hop * 0.3
        audible = np.flatnonzero(np.convolve(is_audible, np.ones(5))[4:] == 5)  # for 100 ms
        if start_s is None:
            assert not len(audible)
        else:
            assert audible[0] / 50 == pytest.approx(start_s, abs=0.1)


every_container = pytest.mark.parametrize(
    ("container", "codec"),
    [
        pytest.param("matroska", "aac", id="mkv with aac"),
        pytest.param("matroska", "flac", id="mkv with flac"),
        pytest.param("webm", "libopus", id="webm"),
        pytest.param("mp4", "aac", id="mp4"),
        pytest.param("mov", "aac", id="mov"),
    ],
)


@every_container
@pytest.mark.parametrize("late_s", [0.0, 0.7, 4.087, 60.0])
def test_audio_that_begins_late_is_late(container: str, codec: str, late_s: float) -> None:
    waveform = decode(remux(container, codec, lambda _, time_s: time_s + late_s, with_picture=True))
    assert_pitches(waveform, [late_s + second for second in range(4)])
    assert len(waveform) / SAMPLE_RATE == pytest.approx(late_s + 4, abs=0.1)
    assert not waveform[: round(max(0, late_s - 0.1) * SAMPLE_RATE)].any()


@every_container
def test_packets_that_are_absent_are_silence(container: str, codec: str) -> None:
    waveform = decode(remux(container, codec, lambda _, time_s: None if 1.0 <= time_s < 2.0 else time_s))
    assert_pitches(waveform, [0, None, 2, 3])
    assert not waveform[round(1.2 * SAMPLE_RATE) : round(1.8 * SAMPLE_RATE)].any()


@every_container
def test_a_pause_of_the_recorder_is_silence(container: str, codec: str) -> None:
    waveform = decode(remux(container, codec, lambda _, time_s: time_s + (5 if time_s >= 2 else 0)))
    assert_pitches(waveform, [0, 1, 7, 8])
    assert len(waveform) / SAMPLE_RATE == pytest.approx(9, abs=0.1)


@pytest.mark.parametrize("late_s", [MAX_GAP_S + 1, 3 * 3600.0, 40 * 3600.0])
@pytest.mark.parametrize("from_s", [pytest.param(0, id="from the start"), pytest.param(2, id="from the middle")])
def test_a_timestamp_that_lies_by_hours_is_ignored(late_s: float, from_s: float) -> None:
    data = remux("matroska", "libopus", lambda _, time_s: time_s + (late_s if time_s >= from_s else 0))
    waveform = decode(data)
    assert_pitches(waveform, [0, 1, 2, 3])
    assert len(waveform) / SAMPLE_RATE == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("late_s", [9.0, 3600.0])
def test_a_single_timestamp_that_lies_is_ignored(late_s: float) -> None:
    waveform = decode(remux("matroska", "libopus", lambda n, time_s: time_s + (late_s if n == 70 else 0)))
    assert_pitches(waveform, [0, 1, 2, 3])
    assert len(waveform) / SAMPLE_RATE == pytest.approx(4, abs=0.1)


def test_times_that_begin_again_are_a_second_recording() -> None:
    data = remux("matroska", "libopus", lambda _, time_s: time_s - (2 if time_s >= 2 else 0))
    assert_pitches(decode(data), [0, 1, 2, 3])


def test_times_that_tremble_change_nothing() -> None:
    steady = remux("matroska", "libopus", lambda _, time_s: time_s)
    trembling = remux("matroska", "libopus", lambda n, time_s: time_s + (n * 7919 % 40) / 1_000)
    np.testing.assert_array_equal(decode(trembling), decode(steady))


def test_packets_in_another_order_end_quickly() -> None:
    generator = np.random.default_rng(0)
    began_s = time.thread_time()
    waveform = decode(remux("matroska", "libopus", lambda *_: float(generator.uniform(0, 4))))
    assert time.thread_time() - began_s < 5
    assert len(waveform) > 3 * SAMPLE_RATE


def test_a_transport_stream_begins_at_its_first_packet() -> None:
    waveform = decode(write_ffmpeg(STEPS, RATE, container="mpegts", codec="aac"))
    assert_pitches(waveform, [0, 1, 2, 3])


def zero_packets(data: bytes, container: str, first: int, n_packets: int) -> bytes:
    """Return a file of bare frames in which the payload of some packets is zero."""
    with av.open(io.BytesIO(data), format=container) as source:
        packets = [(packet.pos, packet.size) for packet in source.demux(audio=0) if packet.size]
    damaged = bytearray(data)
    for begin, n_bytes in packets[first : first + n_packets]:
        assert begin is not None
        damaged[begin + 9 : begin + n_bytes] = bytes(n_bytes - 9)
    return bytes(damaged)


def test_damaged_aac_frames_are_silence() -> None:
    data = write_ffmpeg(STEPS, RATE, container="adts", codec="aac")
    waveform = decode(zero_packets(data, "aac", 60, 25))
    assert_pitches(waveform, [0, 1, 2, 3])


def test_damaged_mp3_lasts_as_long_as_it_did() -> None:
    data = write_ffmpeg(STEPS, RATE, container="mp3", codec="libmp3lame", bit_rate=64_000)
    middle = len(data) // 2 - 4_000
    waveform = decode(data[:middle] + bytes(3_000) + data[middle + 3_000 :])
    assert_pitches(waveform, [0, 1, 2, 3])


def test_a_lost_page_of_ogg_is_silence() -> None:
    data = write_ffmpeg(
        STEPS, RATE, container="ogg", codec="libopus", bit_rate=64_000, options={"page_duration": "200000"}
    )
    pages = [index for index in range(len(data)) if data.startswith(b"OggS", index)]
    waveform = decode(data[: pages[8]] + data[pages[10] :])
    assert_pitches(waveform, [0, 1, 2, 3])
    assert len(waveform) / SAMPLE_RATE == pytest.approx(4, abs=0.1)


def test_a_damaged_flac_is_as_long_as_before() -> None:
    data = bytearray(write_sound(STEPS, RATE, container="FLAC"))
    middle = len(data) * 3 // 8
    data[middle : middle + 26] = bytes(26)
    waveform = decode(bytes(data))
    assert len(waveform) / SAMPLE_RATE == pytest.approx(4, abs=0.01)
    assert_pitches(waveform, [0, 1, 2, 3])


def test_a_jump_is_decided_in_constant_time_for_each_frame() -> None:
    def measure_s(n_frames: int) -> float:
        timeline: Timeline[int] = Timeline(zero_s=0.0)
        began_s = time.thread_time()
        for number in range(n_frames):
            timeline.push(number, start_s=number * 0.08, duration_s=1e-5)
        assert timeline.flush()
        return time.thread_time() - began_s

    measure_s(1_000)
    assert measure_s(40_000) < 20 * measure_s(4_000)


@pytest.mark.parametrize("start_s", [float("inf"), -1e18, 1e18])
def test_impossible_times_are_ignored(start_s: float) -> None:
    timeline: Timeline[int] = Timeline(zero_s=0.0)
    placed = [each for n in range(10) for each in timeline.push(n, start_s=start_s, duration_s=0.02)]
    placed += timeline.flush()
    assert [each.frame for each in placed] == list(range(10))
    assert all(each.gap_s == each.cut_s == 0 for each in placed)


@pytest.mark.parametrize("overlap_s", [0.2, 0.9])
def test_audio_before_zero_is_left_out(overlap_s: float) -> None:
    assert overlap_s < MAX_OVERLAP_S
    timeline: Timeline[int] = Timeline(zero_s=0.0)
    placed = [each for n in range(100) for each in timeline.push(n, start_s=n * 0.02 - overlap_s, duration_s=0.02)]
    placed += timeline.flush()
    assert sum(each.cut_s for each in placed) == pytest.approx(overlap_s, abs=0.05)


@pytest.mark.parametrize(
    ("name", "first_s", "duration_s"),
    [
        ("17-audio-starts-at-4087ms.mkv", 4.106, 10.03),
        ("17-audio-starts-at-4087ms.mp4", 4.106, 10.03),
        ("17-audio-starts-at-4087ms.webm", 4.106, 10.01),
        ("18-gap-of-5s.mkv", 0.083, 19.2),
        ("18-gap-of-5s.webm", 0.023, 19.2),
        ("19-26-bytes.flac", 0.0, 9.945),
        ("19-damaged-page.ogg", 0.0, 9.945),
        ("19-ten-zeroed-packets.aac", 0.064, 10.05),
    ],
)
def test_the_reported_files_have_their_times(name: str, first_s: float, duration_s: float) -> None:
    if not (CASES / name).exists():
        pytest.skip("the shared cases are not here")
    waveform = decode((CASES / name).read_bytes())
    assert len(waveform) / SAMPLE_RATE == pytest.approx(duration_s, abs=0.12)
    assert np.flatnonzero(np.abs(waveform) > 0.02)[0] / SAMPLE_RATE == pytest.approx(first_s, abs=0.1)


def test_data_without_jumps_is_not_held_back() -> None:
    timeline: Timeline[int] = Timeline(zero_s=0.0)
    assert [len(timeline.push(n, start_s=n * 0.02, duration_s=0.02)) for n in range(5)] == [1] * 5
