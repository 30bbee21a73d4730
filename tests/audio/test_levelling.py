"""Speech is found however quiet it was recorded."""

from __future__ import annotations

import numpy as np
import pytest

from hf_asr_endpoint.audio.chunking import split_chunks
from hf_asr_endpoint.audio.levelling import MAX_GAIN, LevelledDetector, LevelledStream
from hf_asr_endpoint.audio.vad import VoiceActivityDetector
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.loudness import only_chunks
from tests.audio.tones import DATA, decode


class Recorder:
    """Keeps the blocks that it is given."""

    def __init__(self) -> None:
        self.blocks: list[Waveform] = []

    def push(self, block: Waveform) -> np.ndarray:
        self.blocks.append(block)
        return np.zeros(0, np.float32)

    def finish(self) -> np.ndarray:
        return np.zeros(0, np.float32)


@pytest.fixture(scope="module")
def detector() -> LevelledDetector:
    return LevelledDetector(VoiceActivityDetector())


@pytest.fixture(scope="module")
def speech() -> Waveform:
    return decode((DATA.parent / "jfk.mp3").read_bytes())


def db(value: float) -> np.float32:
    return np.float32(10 ** (value / 20))


def noise(seconds: float) -> Waveform:
    return np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE)).astype(np.float32)


def seconds_of_speech(waveform: Waveform, detector: LevelledDetector) -> float:
    return sum(
        span.end_s - span.start_s
        for chunk in only_chunks(split_chunks([waveform], detector))
        for span in chunk.speech
    )


def levelled(*blocks: Waveform) -> list[Waveform]:
    recorder = Recorder()
    stream = LevelledStream(recorder)
    for block in blocks:
        stream.push(block)
    return recorder.blocks


@pytest.mark.parametrize("level_db", [-20, -40, -60])
def test_quiet_speech_is_found_like_loud_speech(
    detector: LevelledDetector, speech: Waveform, level_db: int
) -> None:
    loud, quiet = seconds_of_speech(speech, detector), seconds_of_speech(speech * db(level_db), detector)
    assert loud > 7
    assert quiet == pytest.approx(loud, rel=0.1)


def test_a_quiet_speaker_after_a_loud_one_is_found(detector: LevelledDetector, speech: Waveform) -> None:
    pause = np.zeros(2 * SAMPLE_RATE, np.float32)
    waveform = np.concatenate([speech * 3, pause, speech * db(-35), pause, speech * 3])
    assert seconds_of_speech(waveform, detector) > 2.7 * seconds_of_speech(speech, detector)


def test_a_quiet_speaker_is_found_until_a_loud_one_begins(detector: LevelledDetector, speech: Waveform) -> None:
    """Each block of 4 s had one gain, by its loudest part, so that speech before a loud speaker was lost."""
    pause = np.zeros(SAMPLE_RATE // 4, np.float32)
    first = speech[SAMPLE_RATE:]
    waveform = np.concatenate([first * db(-35), pause, speech * 3])
    expected = seconds_of_speech(first, detector) + seconds_of_speech(speech, detector)
    assert seconds_of_speech(waveform, detector) > expected - 0.5


def test_chunks_are_not_amplified(detector: LevelledDetector, speech: Waveform) -> None:
    quiet = speech * db(-40)
    (chunk,) = only_chunks(split_chunks([quiet], detector))
    np.testing.assert_array_equal(chunk.waveform, quiet)


@pytest.mark.parametrize("level_db", [-100, -80, -60, -40, -20])
def test_noise_is_not_speech_at_any_level(detector: LevelledDetector, level_db: int) -> None:
    assert only_chunks(split_chunks([noise(40) * db(level_db)], detector)) == []


def test_silence_stays_silence() -> None:
    assert not levelled(np.zeros(4 * SAMPLE_RATE, np.float32))[0].any()


def test_gain_is_limited_and_never_below_one() -> None:
    faint, loud = noise(4) * db(-120), noise(4)
    np.testing.assert_allclose(levelled(faint)[0], faint * MAX_GAIN, rtol=1e-5)
    np.testing.assert_array_equal(levelled(loud)[0], loud)


def test_gain_changes_without_a_click() -> None:
    tone = np.full(4 * SAMPLE_RATE, 0.1, np.float32)
    joined = np.concatenate(levelled(tone, tone * db(-1), tone * db(-30)))
    played = np.concatenate([tone, tone * db(-1), tone * db(-30)])
    gains = joined / played
    assert gains[-1] > 10 * gains[0]
    assert np.abs(np.diff(np.log(gains))).max() < 0.01


def test_breath_in_a_pause_between_loud_words_stays_quiet() -> None:
    loud, breath = noise(2) * db(-20), noise(1) * db(-60)
    played = np.concatenate([loud, breath, loud[:SAMPLE_RATE]])
    np.testing.assert_allclose(levelled(played)[0], played, rtol=1e-5)


def test_a_short_block_is_levelled_with_what_came_before() -> None:
    _, end = levelled(noise(4) * db(-20), noise(0.9) * db(-70))
    np.testing.assert_allclose(end, noise(0.9) * db(-70), rtol=1e-5)


@pytest.mark.parametrize("n_samples", [0, 1, 300])
def test_blocks_shorter_than_a_frame_are_passed_on(n_samples: int) -> None:
    block = noise(1)[:n_samples]
    np.testing.assert_array_equal(levelled(block)[0], block)
