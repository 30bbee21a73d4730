"""Samples without a header, in pieces."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from hf_asr_endpoint.audio.headerless import ByteOrder, Encoding, PcmFormat
from hf_asr_endpoint.audio.sample_stream import SampleStream
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.units import SAMPLE_RATE


def linear(*, rate: int = SAMPLE_RATE) -> SampleStream:
    return SampleStream(PcmFormat(sample_rate=rate))


def test_a_sample_that_is_cut_in_two_is_completed() -> None:
    samples = np.arange(-500, 500, dtype="<i2")
    data = samples.tobytes()
    stream = linear()
    pieces = [stream.push(data[begin : begin + 333]) for begin in range(0, len(data), 333)]
    np.testing.assert_array_equal(np.concatenate(pieces) * 32_768, samples)


def test_an_incomplete_sample_is_dropped_at_the_end() -> None:
    stream = linear()
    stream.push(b"\x01")
    stream.finish()
    assert (stream.push(b"\x01\x00") * 32_768).tolist() == [1]


@pytest.mark.parametrize("encoding", ["ULAW", "ALAW"])
def test_every_code_of_g711_is_what_libsndfile_reads(encoding: Encoding) -> None:
    codes = bytes(range(256))
    expected, _ = soundfile.read(
        io.BytesIO(codes), samplerate=8000, channels=1, format="RAW", subtype=encoding, dtype="float32"
    )
    stream = SampleStream(PcmFormat(sample_rate=SAMPLE_RATE, encoding=encoding))
    np.testing.assert_allclose(stream.push(codes), expected, atol=1e-6)


@pytest.mark.parametrize("encoding", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
@pytest.mark.parametrize("byte_order", ["LITTLE", "BIG"])
def test_samples_of_every_width_are_what_libsndfile_reads(encoding: Encoding, byte_order: ByteOrder) -> None:
    pcm = PcmFormat(sample_rate=SAMPLE_RATE, encoding=encoding, byte_order=byte_order)
    data = np.random.default_rng(0).bytes(1_200)
    expected, _ = soundfile.read(
        io.BytesIO(data),
        samplerate=SAMPLE_RATE,
        channels=1,
        format="RAW",
        subtype=encoding,
        endian=byte_order,
        dtype="float32",
    )
    stream = SampleStream(pcm)
    pieces = [stream.push(data[begin : begin + 101]) for begin in range(0, len(data), 101)]
    np.testing.assert_allclose(np.concatenate(pieces), expected, atol=1e-6)


def test_another_rate_is_converted_without_losing_the_end() -> None:
    stream = linear(rate=24_000)
    pieces = [stream.push(b"\x00\x10" * 2_400) for _ in range(10)]
    assert sum(map(len, [*pieces, stream.finish()])) == pytest.approx(SAMPLE_RATE, abs=2)


def test_a_rate_that_nobody_records_is_refused() -> None:
    with pytest.raises(InvalidAudio, match="900 Hz"):
        linear(rate=900)
