"""A recording that another process has: read by blocks, or lost on the way."""

from __future__ import annotations

import io

import numpy as np
import pytest

from hf_asr_endpoint.audio.blocks import BLOCK_BYTES, BlockFile, BlockLost, BlockReader, ReceivedAudio
from hf_asr_endpoint.audio.source import EncodedAudio, ReadingOrder, SampledAudio
from hf_asr_endpoint.errors import EngineLost
from hf_asr_endpoint.units import SAMPLE_RATE

DATA = np.random.default_rng(0).bytes(2 * BLOCK_BYTES + 1000)


def order(source: EncodedAudio | SampledAudio) -> ReadingOrder:
    return ReadingOrder(source=source, max_audio_s=60.0, audio_track=None)


def lost(index: int) -> bytes:
    raise BlockLost("its owner has died")


def test_only_the_blocks_that_are_read_are_fetched() -> None:
    reader = BlockReader(order(EncodedAudio(file=io.BytesIO(DATA))))
    fetched: list[int] = []

    def fetch(index: int) -> bytes:
        fetched.append(index)
        return reader.read(index)

    file = io.BufferedReader(BlockFile(fetch, reader.audio.n_bytes))
    file.seek(-1000, io.SEEK_END)
    assert file.read() == DATA[-1000:]
    assert fetched == [2]
    file.seek(BLOCK_BYTES - 10)
    assert file.read(20) == DATA[BLOCK_BYTES - 10 : BLOCK_BYTES + 10]
    assert fetched == [2, 0, 1]
    assert reader.n_blocks == 3


@pytest.mark.parametrize("shape", [(3 * SAMPLE_RATE,), (2, SAMPLE_RATE), (0,)])
def test_samples_arrive_as_they_were(shape: tuple[int, ...]) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    sent = BlockReader(order(SampledAudio(samples=samples, sample_rate=SAMPLE_RATE)))
    source = ReceivedAudio(sent.audio, sent.read).reader.order.source
    assert isinstance(source, SampledAudio)
    assert source.sample_rate == SAMPLE_RATE
    np.testing.assert_array_equal(source.samples, samples)


def test_a_file_ends_where_a_block_is_lost() -> None:
    file = BlockFile(lost, 10)
    assert file.read() == b""
    assert str(file.loss) == "its owner has died"


def test_lost_samples_are_told_at_once() -> None:
    samples = SampledAudio(samples=np.zeros(SAMPLE_RATE, np.float32), sample_rate=SAMPLE_RATE)
    with pytest.raises(EngineLost, match="lost on its way to the engine: its owner has died"):
        ReceivedAudio(BlockReader(order(samples)).audio, lost)


def test_lost_bytes_are_told_by_whoever_checks() -> None:
    audio = ReceivedAudio(BlockReader(order(EncodedAudio(file=io.BytesIO(DATA)))).audio, lost)
    audio.check()
    with pytest.raises(Exception, match=r"."):
        next(audio.reader)
    with pytest.raises(EngineLost, match="lost on its way to the engine: its owner has died"):
        audio.check()
