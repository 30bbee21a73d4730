"""Speech is found no matter whether the silence before it is searched late."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hf_asr_endpoint.audio.levelling import LevelledDetector
from hf_asr_endpoint.audio.speech_spans import Probabilities, Span
from hf_asr_endpoint.audio.vad import VoiceActivityDetector
from hf_asr_endpoint.transcription.live.audio import BLOCK_SAMPLES, IDLE_SAMPLES, NoiseFloor, SessionAudio
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import DATA, decode
from tests.transcription.live.simulation import LoudnessStream, loud, silent

CLIPS = ("jfk.mp3", "2033-164914-0007.flac", "fleurs-de-005.ogg")
EDGE_S = 0.1
"""Of a clip's speech, this much may be lost at its edges. Longer blocks find more of quiet speech, as in files:
the gain knows more of what comes."""


@pytest.fixture(autouse=True, scope="module")
def one_core() -> Iterator[None]:
    """As the threads of live sessions have."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


class CountingStream(LoudnessStream):
    """Remembers the lengths of its blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def push(self, block: Waveform) -> Probabilities:
        self.lengths.append(len(block))
        return super().push(block)


def test_silence_is_searched_in_long_blocks_and_speech_at_once() -> None:
    stream = CountingStream()
    audio = SessionAudio(stream, threshold=0.5)
    audio.may_wait = True
    lengths = []
    for samples in (silent(2 * IDLE_SAMPLES / SAMPLE_RATE), silent(0.2), loud(0.1), loud(0.1)):
        for _ in audio.push(samples):
            pass
        lengths.append(stream.lengths)
        stream.lengths = []
    assert lengths[0] == [IDLE_SAMPLES, IDLE_SAMPLES]
    assert lengths[1] == []
    assert lengths[2] == [3 * BLOCK_SAMPLES]
    assert lengths[3] == [BLOCK_SAMPLES]


def test_nothing_waits_where_a_silence_is_measured() -> None:
    stream = CountingStream()
    audio = SessionAudio(stream, threshold=0.5)
    for _ in audio.push(silent(0.5)):
        pass
    assert set(stream.lengths) == {BLOCK_SAMPLES}


def test_what_waits_is_searched_by_a_flush() -> None:
    audio = SessionAudio(LoudnessStream(), threshold=0.5)
    audio.may_wait = True
    for _ in audio.push(silent(0.3)):
        pass
    assert (audio.now, audio.end) == (0, round(0.3 * SAMPLE_RATE))
    audio.flush()
    assert audio.now == audio.end


@pytest.mark.parametrize("level_db", [-70, -60, -40])
def test_steady_noise_becomes_the_floor(level_db: int) -> None:
    noise = np.random.default_rng(0).standard_normal(15 * SAMPLE_RATE).astype(np.float32) * 10 ** (level_db / 20)
    floor = NoiseFloor()
    heard = [floor.hears(noise[begin : begin + BLOCK_SAMPLES]) for begin in range(0, len(noise), BLOCK_SAMPLES)]
    assert not any(heard[-50:])
    assert floor.hears(noise[:BLOCK_SAMPLES] * 4)


@cache
def clip(name: str) -> Waveform:
    return decode((DATA.parent / name).read_bytes())


@cache
def detector() -> LevelledDetector:
    return LevelledDetector(VoiceActivityDetector())


def speech_in(waveform: Waveform, *, may_wait: bool, piece: int) -> list[Span]:
    audio = SessionAudio(detector().stream(), threshold=0.5)
    for begin in range(0, len(waveform), piece):
        audio.may_wait = may_wait
        for _ in audio.push(waveform[begin : begin + piece]):
            pass
    audio.flush()
    return audio.speech.spans(0, audio.end)


def cut(spans: list[Span], extent: Span) -> list[Span]:
    """Return the parts of spans in another one."""
    parts = (Span(start=max(one.start, extent.start), end=min(one.end, extent.end)) for one in spans)
    return [part for part in parts if part.start < part.end]


def seconds_of(spans: list[Span]) -> float:
    return sum(span.end - span.start for span in spans) / SAMPLE_RATE


@settings(max_examples=5, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    name=st.sampled_from(CLIPS),
    level_db=st.floats(-45, 0),
    snr_db=st.floats(15, 60),
    pause_s=st.floats(0.0, 2.0),
    piece=st.integers(160, 24_000),
)
def test_quiet_speech_in_noise_that_is_found_at_once_is_found_late(
    name: str, level_db: float, snr_db: float, pause_s: float, piece: int
) -> None:
    """Clips at lowered levels, between pauses, over noise that is as far below them as any room's."""
    pause = np.zeros(round(pause_s * SAMPLE_RATE), np.float32)
    spoken = np.concatenate([pause, clip(name)[: 5 * SAMPLE_RATE], pause])
    noise = np.random.default_rng(0).standard_normal(len(spoken)).astype(np.float32)
    level = np.sqrt(np.square(clip(name)).mean())
    waveform = (spoken + noise * level * 10 ** (-snr_db / 20)) * np.float32(10 ** (level_db / 20))
    at_once = speech_in(waveform.astype(np.float32), may_wait=False, piece=piece)
    late = speech_in(waveform.astype(np.float32), may_wait=True, piece=piece)
    assert at_once
    kept = sum(span.end - span.start for one in at_once for span in cut(late, one)) / SAMPLE_RATE
    assert kept > 0.95 * seconds_of(at_once) - EDGE_S
    assert all(one.end <= other.start for one, other in itertools.pairwise(late))


@pytest.mark.parametrize("level_db", [-65, -45, -25])
def test_noise_that_is_searched_late_is_not_speech(level_db: int) -> None:
    noise = np.random.default_rng(1).standard_normal(5 * SAMPLE_RATE).astype(np.float32)
    assert speech_in(noise * np.float32(10 ** (level_db / 20)), may_wait=True, piece=800) == []
