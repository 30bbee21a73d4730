"""Of several audio tracks, the default one with speech is decoded, or the one that the caller names."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from hf_asr_endpoint.audio.source import EncodedAudio, SampledAudio, open_waveform
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import decode, write_sound

SECOND_DEFAULT = Path(__file__).parents[3] / "shared" / "cases" / "21-second-track-default.mkv"
N_SAMPLES = 2 * SAMPLE_RATE
TIMES_S = np.arange(N_SAMPLES) / SAMPLE_RATE


def make_speech(pitch_hz: float) -> Waveform:
    """Return a tone that comes and goes as syllables do."""
    syllables = (np.sin(2 * np.pi * 2 * TIMES_S) > 0).astype(np.float32)
    return (0.3 * np.sin(2 * np.pi * pitch_hz * TIMES_S) * syllables).astype(np.float32)


SILENCE = np.zeros(N_SAMPLES, np.float32)
HISS = (0.05 * np.random.default_rng(0).standard_normal(N_SAMPLES)).astype(np.float32)
LOW, HIGH = make_speech(400), make_speech(1_000)


def write_tracks(tracks: Sequence[Waveform], *, default: Sequence[int], container: str = "matroska") -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        streams = [output.add_stream("aac", rate=SAMPLE_RATE, layout="mono") for _ in tracks]
        for index, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default if index in default else av.stream.Disposition(0)
        for stream, samples in zip(streams, tracks, strict=True):
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, 0
            output.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def pitch_of(waveform: Waveform) -> int:
    if np.abs(waveform).max() < 1e-3:
        return 0
    return round(float(np.argmax(np.abs(np.fft.rfft(waveform))) * SAMPLE_RATE / len(waveform)), -2)


@pytest.mark.parametrize(
    ("tracks", "default", "expected_hz"),
    [
        pytest.param([LOW, HIGH], [0], 400, id="the default one is the first"),
        pytest.param([LOW, HIGH], [1], 1_000, id="the default one is the second"),
        pytest.param([LOW, HIGH], [0, 1], 400, id="all are default"),
        pytest.param([LOW, HIGH], [], 400, id="none is default"),
        pytest.param([SILENCE, HIGH], [], 1_000, id="silence first"),
        pytest.param([SILENCE, HIGH], [0], 1_000, id="the default one is silent"),
        pytest.param([SILENCE, HIGH], [1], 1_000, id="silence first, speech default"),
        pytest.param([HISS, HIGH], [0], 1_000, id="the default one is noise"),
        pytest.param([SILENCE, SILENCE, LOW, HIGH], [], 400, id="the first with speech"),
        pytest.param([SILENCE, SILENCE], [1], 0, id="only silence"),
    ],
)
def test_the_track_with_speech_is_chosen(tracks: list[Waveform], default: list[int], expected_hz: int) -> None:
    assert pitch_of(decode(write_tracks(tracks, default=default))) == expected_hz


@pytest.mark.parametrize("container", ["matroska", "mp4", "mpegts"])
@pytest.mark.parametrize(("track", "expected_hz"), [(0, 400), (1, 1_000), (2, 0)])
def test_the_caller_chooses_a_track(container: str, track: int, expected_hz: int) -> None:
    data = write_tracks([LOW, HIGH, SILENCE], default=[0], container=container)
    reader = open_waveform(EncodedAudio(file=io.BytesIO(data)), max_audio_s=10, audio_track=track)
    assert pitch_of(np.concatenate(list(reader))) == expected_hz


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(
            write_tracks([LOW, HIGH], default=[0]),
            "is 7, but the file has 2 audio tracks; allowed: 0 to 1",
            id="mkv",
        ),
        pytest.param(
            write_sound(LOW[:, None], SAMPLE_RATE), "the file has 1 audio track; allowed: 0 to 0", id="wav"
        ),
        pytest.param(
            write_sound(LOW[:, None], SAMPLE_RATE, container="FLAC"),
            "has 1 audio track; allowed: 0 to 0",
            id="flac",
        ),
    ],
)
def test_a_track_that_the_file_lacks_is_refused(data: bytes, message: str) -> None:
    reader = open_waveform(EncodedAudio(file=io.BytesIO(data)), max_audio_s=10, audio_track=7)
    with pytest.raises(InvalidParameter, match=message) as caught:
        next(reader)
    assert caught.value.parameter == "audio_track"


def test_samples_are_one_track() -> None:
    source = SampledAudio(samples=LOW, sample_rate=SAMPLE_RATE)
    assert len(np.concatenate(list(open_waveform(source, max_audio_s=10, audio_track=0)))) == N_SAMPLES
    with pytest.raises(InvalidParameter, match="1 audio track"):
        open_waveform(source, max_audio_s=10, audio_track=1)


@pytest.mark.skipif(not SECOND_DEFAULT.exists(), reason="the shared cases are not here")
def test_the_reported_file_is_not_silent() -> None:
    assert np.sqrt(np.mean(decode(SECOND_DEFAULT.read_bytes()) ** 2)) > 0.01


@pytest.mark.parametrize("n_tracks", [1, 2])
def test_tracks_that_begin_in_the_middle_do_no_harm(n_tracks: int) -> None:
    """As in a recorded broadcast, where the next programme has more languages."""
    part = write_tracks([LOW] * n_tracks, default=[], container="mpegts")
    with_more = write_tracks([LOW] * n_tracks + [HIGH] * 7, default=[], container="mpegts")
    waveform = decode(part * 20 + with_more + part * 20)
    assert pitch_of(waveform) == 400
    assert len(waveform) == pytest.approx(41 * N_SAMPLES, rel=0.1)
