"""Channels to one, while they arrive: the plain average, except where that would lose speech.

Knows samples, no files. The result depends on the samples alone, not on the blocks in which they come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.audio.activity import FRAMES_PER_S, LIVELY_DB, STEADY_DB, Levels, frame_levels, variation_db
from hf_asr_endpoint.types import Waveform

BLOCKS_PER_S = 2
"""How often the weights of the channels may change."""

SILENT_RATIO = 1e-4
"""Of powers: a channel 40 dB below the loudest one is silent beside it."""

OPPOSITE_CORRELATION = -0.6
"""Below it, the channels are in opposite phase: the average would cancel what they share."""

USUAL_CORRELATION = -0.2
"""Above it, they are not any more."""

UNRELATED_CORRELATION = 0.3
"""Up to it, neither channel holds the other's sound."""

PAUSE_RATIO = 0.01
"""Of powers: a block 20 dB below the loudest lately is a pause, which says nothing about the phase."""

_FADE_PER_S = 20  # Weights change within 50 ms.
_LOUDEST_DECAY = 0.9  # for each block
_ANALYSED_HZ = 16_000  # Samples of higher rates are thinned out before they are analysed.

Samples = npt.NDArray[np.float32]


def average_channels(samples: Samples) -> Waveform:
    """Average samples, shape = (n_samples, n_channels): the result is no louder than the loudest channel.

    The channels are added one by one, because a matrix product takes all cores of the machine in numpy's BLAS.
    """
    n_channels = samples.shape[1]
    weight = np.float32(1 / n_channels)
    # Infinite samples and those near float32's maximum are for the waveform's reader to refuse.
    with np.errstate(invalid="ignore", over="ignore"):
        mono: Waveform = samples[:, 0] * weight
        for channel in range(1, n_channels):
            mono += samples[:, channel] * weight
    return mono


class ChannelMixer:
    """Makes one channel of several.

    Three things make it leave the plain average, for as long as they last: two channels in opposite phase, whose
    difference is taken; channels that are silent beside others; and steady noise in channels beside others that
    come and go. Such channels do not count, so that what is in the others stays as loud as it is there.
    """

    def __init__(self, sample_rate: int, n_channels: int) -> None:
        self._n_block = sample_rate // BLOCKS_PER_S
        self._n_fade = sample_rate // _FADE_PER_S
        self._chooser = _WeightChooser(sample_rate, n_channels)
        self._n_channels = n_channels
        self._waiting: list[Samples] = []
        self._n_waiting = 0
        self._weights: tuple[float, ...] | None = None

    def push(self, samples: Samples) -> Waveform:
        """Mix samples, shape = (n_samples, n_channels). Up to half a second is returned by a later call."""
        if self._n_channels == 1:
            return average_channels(samples)
        self._waiting.append(samples)
        self._n_waiting += len(samples)
        if self._n_waiting < self._n_block:
            return np.zeros(0, np.float32)
        joined = np.concatenate(self._waiting)
        n_whole = len(joined) - len(joined) % self._n_block
        self._waiting = [joined[n_whole:].copy()]
        self._n_waiting = len(joined) - n_whole
        blocks = [joined[begin : begin + self._n_block] for begin in range(0, n_whole, self._n_block)]
        return np.concatenate([self._mix(block) for block in blocks])

    def flush(self) -> Waveform:
        """Mix what is left. More may be pushed afterwards."""
        left = np.concatenate(self._waiting) if self._n_waiting else None
        self._waiting, self._n_waiting = [], 0
        return np.zeros(0, np.float32) if left is None else self._mix(left)

    def _mix(self, block: Samples) -> Waveform:
        weights = self._chooser.choose(block)
        before = weights if self._weights is None else self._weights
        self._weights = weights
        if before == weights:
            return _weigh(block, weights)
        n_fade = min(self._n_fade, len(block))
        rising = np.arange(1, n_fade + 1, dtype=np.float32) / np.float32(n_fade)
        faded = _weigh(block[:n_fade], before) * (1 - rising) + _weigh(block[:n_fade], weights) * rising
        return np.concatenate([faded, _weigh(block[n_fade:], weights)])


def _weigh(block: Samples, weights: tuple[float, ...]) -> Waveform:
    if len(set(weights)) == 1:
        return average_channels(block)
    mono = np.zeros(len(block), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        for channel, weight in enumerate(weights):
            if weight:
                mono += block[:, channel] * np.float32(weight)
    return mono


@dataclass(slots=True)
class _Phase:
    """Whether two channels are in opposite phase, by their correlation in blocks that are loud enough."""

    is_opposite: bool = False
    loudest: float = 0.0

    def update(self, power: float, correlation: float) -> None:
        self.loudest = max(power, self.loudest * _LOUDEST_DECAY)
        if not power > PAUSE_RATIO * self.loudest:
            return
        if correlation < OPPOSITE_CORRELATION:
            self.is_opposite = True
        elif correlation > USUAL_CORRELATION:
            self.is_opposite = False


class _WeightChooser:
    """Chooses the channels' weights for one block after the other. What a block does not tell stays as it was."""

    def __init__(self, sample_rate: int, n_channels: int) -> None:
        self._step = max(1, sample_rate // _ANALYSED_HZ)
        self._rate = sample_rate // self._step
        self._n_channels = n_channels
        self._is_noise = np.zeros(n_channels, np.bool_)
        self._is_silent = np.zeros(n_channels, np.bool_)
        self._phase = _Phase()
        self._levels: Levels = np.zeros((0, n_channels))

    def choose(self, block: Samples) -> tuple[float, ...]:
        """Return a weight for each channel."""
        thin = np.ascontiguousarray(block[:: self._step])
        with np.errstate(all="ignore"):
            power = np.square(thin, dtype=np.float64).mean(axis=0)
            correlation = _correlation(thin) if self._n_channels == 2 else 0.0
        self._levels = np.concatenate([self._levels, frame_levels(thin, self._rate)])[-FRAMES_PER_S:]
        self._update_noise(correlation)
        self._update_silent(power)
        if self._n_channels == 2:
            self._phase.update(float(power.sum()), correlation)
        counts = ~(self._is_noise | self._is_silent)
        if not counts.any():
            counts[:] = True
        weight = 1 / int(counts.sum())
        weights = [weight if each else 0.0 for each in counts]
        if self._phase.is_opposite and counts.all():
            weights[1] = -weight
        return tuple(weights)

    def _update_noise(self, correlation: float) -> None:
        variation = variation_db(self._levels)
        is_lively = variation > LIVELY_DB
        self._is_noise &= ~is_lively
        if abs(correlation) > UNRELATED_CORRELATION:
            self._is_noise[:] = False
        elif is_lively.any():
            self._is_noise |= variation < STEADY_DB

    def _update_silent(self, power: npt.NDArray[np.float64]) -> None:
        loudest = power[~self._is_noise].max(initial=0.0)
        if loudest > 0:
            self._is_silent = power < SILENT_RATIO * loudest


def _correlation(samples: Samples) -> float:
    """Return the correlation of two channels, -1 to 1; 0 if one of them is constant."""
    left, right = (samples[:, channel] - samples[:, channel].mean(dtype=np.float64) for channel in (0, 1))
    scale = float(np.sqrt(np.mean(left * left) * np.mean(right * right)))
    return float(np.mean(left * right)) / scale if 0 < scale < np.inf else 0.0
