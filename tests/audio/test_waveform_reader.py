"""A waveform's reader owns its file, and can be closed at any time and from any thread."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hf_asr_endpoint.audio.source import AudioSource, EncodedAudio, SampledAudio, WaveformReader, open_waveform
from hf_asr_endpoint.errors import InvalidAudio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import DATA, decode, make_tone, write_sound

MP3 = (DATA.parent / "jfk.mp3").read_bytes()
WAV = write_sound(make_tone(SAMPLE_RATE, duration_s=60), SAMPLE_RATE)

encodings = pytest.mark.parametrize("data", [pytest.param(MP3, id="mp3"), pytest.param(WAV, id="wav")])


def read(source: AudioSource) -> WaveformReader:
    return open_waveform(source, max_audio_s=100)


class BlockingFile(io.BytesIO):
    """Bytes whose reads wait, once `is_blocking` is set, until `release` is."""

    is_blocking = False

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.is_waiting, self.release = threading.Event(), threading.Event()
        self.n_reads_after_release = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if self.is_blocking:
            self.n_reads_after_release += self.release.is_set()
            self.is_waiting.set()
            self.release.wait(10)
        return super().read(size)


@encodings
def test_the_file_is_closed_with_the_reader(data: bytes) -> None:
    file = io.BytesIO(data)
    reader = read(EncodedAudio(file=file))
    np.testing.assert_array_equal(np.concatenate(list(reader)), decode(data))
    assert not file.closed
    reader.close()
    assert file.closed


def close_before_iteration(reader: WaveformReader) -> None:
    reader.close()


def close_in_the_middle(reader: WaveformReader) -> None:
    next(reader)
    reader.close()


def close_twice(reader: WaveformReader) -> None:
    next(reader)
    reader.close()
    reader.close()


def close_in_another_thread(reader: WaveformReader) -> None:
    next(reader)
    thread = threading.Thread(target=reader.close)
    thread.start()
    thread.join()


@encodings
@pytest.mark.parametrize(
    "close",
    [
        pytest.param(close_before_iteration, id="before iteration"),
        pytest.param(close_in_the_middle, id="in the middle"),
        pytest.param(close_twice, id="twice"),
        pytest.param(close_in_another_thread, id="in another thread"),
    ],
)
def test_a_closed_reader_yields_nothing_more(close: Callable[[WaveformReader], None], data: bytes) -> None:
    file = io.BytesIO(data)
    reader = read(EncodedAudio(file=file))
    close(reader)
    assert file.closed
    with pytest.raises(ValueError, match="closed while it was read"):
        next(iter(reader))


def test_a_reader_of_samples_can_be_closed() -> None:
    reader = read(SampledAudio(samples=np.zeros(SAMPLE_RATE * 3, np.float32), sample_rate=SAMPLE_RATE))
    assert len(next(reader)) == SAMPLE_RATE
    reader.close()
    with pytest.raises(ValueError, match="closed while it was read"):
        next(reader)


def test_a_reader_can_be_closed_after_an_error() -> None:
    file = io.BytesIO(b"fLaC" + bytes(100))
    reader = read(EncodedAudio(file=file))
    with pytest.raises(InvalidAudio):
        next(reader)
    reader.close()
    assert file.closed


def test_closing_during_the_first_read_is_not_taken_for_damage_or_the_end() -> None:
    """The decoder then finds an empty file, which alone is an error of the client's audio."""
    file = BlockingFile(MP3)
    file.is_blocking = True
    reader = read(EncodedAudio(file=file))
    with ThreadPoolExecutor(1) as threads:
        block = threads.submit(next, reader)
        assert file.is_waiting.wait(10)
        reader.close()
        file.release.set()
        with pytest.raises(ValueError, match="closed while it was read"):
            block.result(10)
    assert file.closed


@encodings
def test_closing_while_another_thread_decodes_ends_its_block_early(data: bytes) -> None:
    """`close` returns at once; the thread that decodes finds the file at its end and frees everything."""
    file = BlockingFile(data)
    reader = read(EncodedAudio(file=file))
    next(reader)
    file.is_blocking = True
    errors: list[Exception] = []

    def iterate() -> None:
        try:
            for _ in reader:
                pass
        except ValueError as exc:
            errors.append(exc)

    thread = threading.Thread(target=iterate)
    thread.start()
    assert file.is_waiting.wait(10)
    reader.close()
    assert not file.closed
    file.release.set()
    thread.join(10)
    assert [str(error) for error in errors] == ["the waveform was closed while it was read"]
    assert file.closed
    assert file.n_reads_after_release == 0


@encodings
def test_a_file_that_somebody_else_closes_ends_the_reading(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """As the server closes a request's files when its client leaves. What its callbacks raise, cffi prints."""
    file = io.BytesIO(data)
    reader = read(EncodedAudio(file=file))
    next(reader)
    file.close()
    with pytest.raises(ValueError, match="closed while it was read"):
        list(reader)
    reader.close()
    assert capfd.readouterr().err == ""
