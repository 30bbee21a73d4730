"""Speech in one channel stays as loud as it is there; ordinary stereo is the plain average, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hf_asr_endpoint.audio.channels import ChannelMixer, average_channels
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import DATA, Samples, decode

CASE = Path(__file__).parents[3] / "shared" / "cases" / "20-right-is-minus-left.mp3"
SPEECH, _ = soundfile.read(DATA.parent / "533-1066-0006.flac", dtype="float32")
RNG = np.random.default_rng(0)
N_FADE = SAMPLE_RATE // 20


def mix(samples: Samples, *, block_sizes: tuple[int, ...] = (5_000,)) -> Waveform:
    mixer = ChannelMixer(SAMPLE_RATE, samples.shape[1])
    mixed, begin, n_pushed = [], 0, 0
    while begin < len(samples):
        size = block_sizes[n_pushed % len(block_sizes)]
        mixed.append(mixer.push(samples[begin : begin + size]))
        begin, n_pushed = begin + size, n_pushed + 1
    return np.concatenate([*mixed, mixer.flush()])


def channels(*parts: Waveform) -> Samples:
    return np.stack(parts, axis=1).astype(np.float32)


def noise(rms: float) -> Waveform:
    return (rms * RNG.standard_normal(len(SPEECH))).astype(np.float32)


def hum(rms: float) -> Waveform:
    times_s = np.arange(len(SPEECH)) / SAMPLE_RATE
    return (rms * np.sqrt(2) * np.sin(2 * np.pi * 50 * times_s)).astype(np.float32)


def pink(rms: float) -> Waveform:
    spectrum = np.fft.rfft(RNG.standard_normal(len(SPEECH)))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    signal = np.fft.irfft(spectrum, len(SPEECH))
    return (rms * signal / signal.std()).astype(np.float32)


OTHER = [
    pytest.param(np.zeros(len(SPEECH), np.float32), id="digital silence"),
    pytest.param(noise(1e-4), id="the noise of a converter"),
    pytest.param(noise(0.01), id="hiss"),
    pytest.param(noise(0.2), id="noise louder than the speech"),
    pytest.param(pink(0.05), id="pink noise"),
    pytest.param(hum(0.05), id="hum"),
]


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("is_left", [True, False], ids=["left", "right"])
def test_speech_beside_noise_is_as_loud_as_it_is_there(other: Waveform, is_left: bool) -> None:
    mixed = mix(channels(SPEECH, other) if is_left else channels(other, SPEECH))
    n_first = SAMPLE_RATE  # In the first second, the speech may not have begun.
    np.testing.assert_allclose(mixed[n_first:], SPEECH[n_first:], atol=1e-6)


@pytest.mark.parametrize("n_channels", [3, 6])
def test_speech_in_one_of_many_channels_is_as_loud_as_it_is_there(n_channels: int) -> None:
    mixed = mix(channels(SPEECH, *[np.zeros(len(SPEECH), np.float32)] * (n_channels - 1)))
    np.testing.assert_allclose(mixed, SPEECH, atol=1e-7)


@pytest.mark.parametrize(
    ("samples", "gain"),
    [
        pytest.param(channels(SPEECH, -SPEECH), 1.0, id="opposite"),
        pytest.param(channels(SPEECH, -0.5 * SPEECH), 0.75, id="opposite, half as loud"),
        pytest.param(channels(SPEECH + noise(0.003), -SPEECH + noise(0.003)), 1.0, id="opposite, with noise"),
    ],
)
def test_opposite_phase_does_not_cancel_out(samples: Samples, gain: float) -> None:
    loudness = np.std(mix(samples)[SAMPLE_RATE:]) / np.std(SPEECH[SAMPLE_RATE:])
    assert loudness == pytest.approx(gain, rel=0.05)


def delayed(n_samples: int) -> Waveform:
    return np.roll(SPEECH, n_samples)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(channels(SPEECH, SPEECH), id="the same in both"),
        pytest.param(channels(SPEECH, 0.1 * SPEECH), id="to one side"),
        pytest.param(channels(SPEECH, delayed(13)), id="two microphones"),
        pytest.param(channels(SPEECH, delayed(16_000)), id="two voices"),
        pytest.param(channels(SPEECH + noise(0.002), SPEECH + noise(0.002)), id="with noise of its own in each"),
        pytest.param(channels(noise(0.1), noise(0.1)), id="noise in both"),
        pytest.param(channels(hum(0.1), noise(0.1)), id="hum and noise"),
        pytest.param(np.zeros((SAMPLE_RATE, 2), np.float32), id="silence"),
    ],
)
def test_ordinary_stereo_is_the_plain_average_bit_for_bit(samples: Samples) -> None:
    np.testing.assert_array_equal(mix(samples), average_channels(samples))


@pytest.mark.parametrize("block_sizes", [(1,), (7, 160, 1_152, 0, 33), (8_000,), (10**9,)])
def test_the_result_does_not_depend_on_the_blocks(block_sizes: tuple[int, ...]) -> None:
    samples = channels(SPEECH, noise(0.05))
    np.testing.assert_array_equal(mix(samples, block_sizes=block_sizes), mix(samples))


def test_weights_change_without_a_jump() -> None:
    """A steady tone moves from both channels to one: the mixture never changes by more than a tone does."""
    times_s = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 200 * times_s).astype(np.float32)
    gain = np.where(np.arange(len(tone)) < 2 * SAMPLE_RATE, 1, -1).astype(np.float32)
    mixed = mix(channels(tone, tone * gain))
    allowed = 2 * np.pi * 200 / SAMPLE_RATE + 1 / N_FADE
    changes = np.abs(np.diff(mixed))
    assert np.delete(changes, 2 * SAMPLE_RATE - 1).max() <= allowed
    np.testing.assert_allclose(mixed[3 * SAMPLE_RATE :], tone[3 * SAMPLE_RATE :], atol=1e-6)


def test_two_sides_of_a_call_are_both_as_loud_as_they_are() -> None:
    silence = np.zeros(len(SPEECH), np.float32)
    left, right = np.concatenate([SPEECH, silence]), np.concatenate([silence, SPEECH])
    mixed = mix(channels(left, right))
    assert np.std(mixed) == pytest.approx(np.std(left + right), rel=0.03)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_samples_that_are_no_numbers_pass_through(value: float) -> None:
    samples = np.full((SAMPLE_RATE, 2), value, np.float32)
    assert len(mix(samples)) == SAMPLE_RATE


@pytest.mark.skipif(not CASE.exists(), reason="the shared cases are not here")
def test_the_reported_file_is_not_silent() -> None:
    assert np.sqrt(np.mean(decode(CASE.read_bytes()) ** 2)) > 0.01
