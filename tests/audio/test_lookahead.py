"""Long files are scanned ahead, so that hours of silence are refused before they are decoded."""

from __future__ import annotations

import functools
import io

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from hf_asr_endpoint.audio import ffmpeg
from hf_asr_endpoint.audio.source import EncodedAudio, open_waveform
from hf_asr_endpoint.errors import AudioTooLong
from hf_asr_endpoint.units import SAMPLE_RATE

DURATION_S = 120
FORMATS = pytest.mark.parametrize(("container", "subtype"), [("FLAC", None), ("MP3", None), ("OGG", "OPUS")])


@pytest.fixture(autouse=True)
def _early_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "LOOK_AHEAD_AFTER_S", 5.0, raising=False)


@functools.cache
def noise(container: str, subtype: str | None) -> bytes:
    samples = np.random.default_rng(0).normal(0, 0.01, DURATION_S * 8000)
    with io.BytesIO() as file:
        soundfile.write(file, samples, 8000, format=container, subtype=subtype)
        return file.getvalue()


def encoded(container: str, subtype: str | None) -> EncodedAudio:
    return EncodedAudio(file=io.BytesIO(noise(container, subtype)))


@FORMATS
def test_a_long_file_is_refused_when_its_packets_are_too_many(container: str, subtype: str | None) -> None:
    lengths: list[int] = []
    blocks = open_waveform(encoded(container, subtype), max_audio_s=50)
    with pytest.raises(AudioTooLong, match="longer than 50 s"):
        lengths.extend(len(block) for block in blocks)
    assert sum(lengths) < 10 * SAMPLE_RATE


@FORMATS
def test_a_file_that_is_not_too_long_is_read_as_without_the_look(
    container: str, subtype: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> npt.NDArray[np.float32]:
        return np.concatenate(list(open_waveform(encoded(container, subtype), max_audio_s=DURATION_S + 1)))

    looked = read()
    monkeypatch.setattr(ffmpeg, "LOOK_AHEAD_AFTER_S", float("inf"), raising=False)
    assert np.array_equal(looked, read())
