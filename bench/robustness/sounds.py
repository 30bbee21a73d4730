"""Sounds without speech, 16 kHz, each different by its seed: noise, tones, music, a telephone line on hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

RATE = 16_000
Waveform = npt.NDArray[np.float32]
Generator = np.random.Generator

MAJOR, MINOR = (0, 4, 7, 12), (0, 3, 7, 12)
A4_HZ = 440.0


def _time(seconds: float) -> npt.NDArray[np.float64]:
    return np.arange(round(seconds * RATE)) / RATE


def colored_noise(seconds: float, random: Generator, *, exponent: float) -> Waveform:
    """Return noise with power proportional to 1 / frequency ** exponent, at an RMS of 0.003 to 0.1."""
    spectrum = np.fft.rfft(random.standard_normal(round(seconds * RATE)))
    frequencies = np.fft.rfftfreq(round(seconds * RATE), 1 / RATE)
    spectrum[1:] /= frequencies[1:] ** (exponent / 2)
    spectrum[frequencies < 20] = 0
    wave = np.fft.irfft(spectrum, round(seconds * RATE))
    loudness = 10 ** random.uniform(-2.5, -1)
    return (wave / wave.std() * loudness).astype(np.float32)


def white(seconds: float, random: Generator) -> Waveform:
    return colored_noise(seconds, random, exponent=0)


def pink(seconds: float, random: Generator) -> Waveform:
    return colored_noise(seconds, random, exponent=1)


def brown(seconds: float, random: Generator) -> Waveform:
    return colored_noise(seconds, random, exponent=2)


def gusts(seconds: float, random: Generator) -> Waveform:
    """Return noise that swells and fades, as wind and traffic do."""
    time = _time(seconds)
    swell = sum(np.sin(2 * np.pi * random.uniform(0.05, 0.4) * time + random.uniform(0, 6)) for _ in range(4))
    return (pink(seconds, random) * (0.2 + np.clip(np.asarray(swell), 0, None))).astype(np.float32)


def hum(seconds: float, random: Generator) -> Waveform:
    """Return mains hum with harmonics, and some noise."""
    time, base = _time(seconds), random.choice((50, 60))
    wave = sum(np.sin(2 * np.pi * base * k * time) / k for k in range(1, 9))
    return (0.05 * np.asarray(wave) + 0.002 * random.standard_normal(len(time))).astype(np.float32)


def tone(seconds: float, random: Generator) -> Waveform:
    return (0.2 * np.sin(2 * np.pi * random.uniform(100, 3000) * _time(seconds))).astype(np.float32)


def sweep(seconds: float, random: Generator) -> Waveform:
    """Return tones that glide between 200 and 3,000 Hz every few seconds."""
    frequency = 1600 + 1400 * np.sin(2 * np.pi * _time(seconds) / random.uniform(2, 8))
    return (0.2 * np.sin(2 * np.pi * np.cumsum(frequency) / RATE)).astype(np.float32)


def line_tones(seconds: float, random: Generator) -> Waveform:
    """Return the tones of a telephone line: ringing (1 s in 5), busy (0.5 s in 1), or keys."""
    time = _time(seconds)
    on_s, period_s, pair = [(1.0, 5.0, (425, 425)), (0.5, 1.0, (480, 620)), (0.1, 0.3, (770, 1336))][
        int(random.integers(3))
    ]
    both = sum(np.sin(2 * np.pi * frequency * time) for frequency in pair)
    return (0.15 * np.asarray(both) * (time % period_s < on_s)).astype(np.float32)


def music(seconds: float, random: Generator) -> Waveform:
    """Return chords, a melody, a bass and a drum, with harmonics and decays."""
    beat_s = 60 / random.uniform(70, 140)
    wave = np.zeros(round(seconds * RATE) + 4 * RATE)
    root = A4_HZ * 2 ** (random.integers(-12, 0) / 12)
    for index in range(int(seconds / beat_s)):
        start = round(index * beat_s * RATE)
        chord = root * 2 ** (random.choice((0, 5, 7, 9)) / 12)
        steps = MAJOR if random.random() < 0.6 else MINOR
        for step in steps if index % 2 == 0 else steps[:1]:
            _add_note(wave, start, chord * 2 ** (step / 12), 2 * beat_s, 0.06)
        _add_note(wave, start, chord / 2, beat_s, 0.12)
        _add_note(wave, start, chord * 2 ** ((12 + random.choice(steps)) / 12), beat_s, 0.1)
        length = RATE // 10
        hit = random.standard_normal(length) * np.exp(-np.arange(length) / 300)
        wave[start : start + length] += 0.08 * hit
    return wave[: round(seconds * RATE)].astype(np.float32)


def _add_note(wave: npt.NDArray[np.float64], start: int, hertz: float, seconds: float, gain: float) -> None:
    time = _time(min(seconds, (len(wave) - start) / RATE))
    decay = np.exp(-3 * time / seconds) * np.clip(time / 0.01, 0, 1)
    note = sum(np.sin(2 * np.pi * hertz * k * time) / k**1.5 for k in range(1, 6))
    wave[start : start + len(time)] += gain * decay * np.asarray(note)


def hold(seconds: float, random: Generator) -> Waveform:
    """Return music through a telephone (300 to 3,400 Hz, 8-bit companding), with a beep every 10 s and gaps."""
    wave, time = music(seconds, random), _time(seconds)
    spectrum, frequencies = np.fft.rfft(wave), np.fft.rfftfreq(len(wave), 1 / RATE)
    spectrum[(frequencies < 300) | (frequencies > 3400)] = 0
    wave = np.fft.irfft(spectrum, len(wave)).astype(np.float32)
    wave = np.where(time % 10 < 0.4, 0.2 * np.sin(2 * np.pi * 1400 * time), wave)
    wave = np.where(time % 25 > 22, 0.0, wave)
    companded = np.sign(wave) * np.log1p(255 * np.abs(np.clip(wave, -1, 1))) / np.log(256)
    rounded = np.rint(companded * 127) / 127
    expanded: Waveform = (np.sign(rounded) * (256 ** np.abs(rounded) - 1) / 255).astype(np.float32)
    return expanded


SOUNDS: Mapping[str, Callable[[float, Generator], Waveform]] = {
    "white noise": white,
    "pink noise": pink,
    "brown noise": brown,
    "gusts": gusts,
    "hum": hum,
    "tone": tone,
    "sweep": sweep,
    "line tones": line_tones,
    "music": music,
    "hold music": hold,
}
