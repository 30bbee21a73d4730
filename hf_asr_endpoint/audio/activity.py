"""What a channel holds, by its loudness every 25 ms: silence, a steady noise, or sound that comes and goes.

Speech changes by 20 dB and more within a second; hiss, hum and fans by less than 3. Knows no speech model: it
serves to choose channels and tracks while they are decoded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FRAMES_PER_S = 40
STEADY_DB = 4.0
"""A channel whose loudness varies by less within a second is steady: silence, hiss or hum."""

LIVELY_DB = 8.0
"""A channel whose loudness varies by more may be speech."""

_LOW_FRACTION = 0.2  # of the frames are quieter than the loudness that counts as the low one
_MIN_POWER = 1e-12  # -120 dB: quieter sound is silence

Levels = npt.NDArray[np.float64]


def frame_levels(samples: npt.NDArray[np.float32], sample_rate: int) -> Levels:
    """Return the loudness of samples in dB, frame by frame: (n_samples, n_channels) to (n_frames, n_channels).

    It is that of the difference between neighbouring samples: rumble, which varies by chance, counts little.
    A last part of a frame is left out, unless it is all there is.
    """
    n_frame = max(1, sample_rate // FRAMES_PER_S)
    n_frames = max(1, len(samples) // n_frame)
    with np.errstate(all="ignore"):  # Infinite samples are for the waveform's reader to refuse.
        differences = np.diff(samples, axis=0, prepend=samples[:1])
        framed = differences[: n_frames * n_frame].reshape(n_frames, -1, samples.shape[1])
        power = np.square(framed, dtype=np.float64).mean(axis=1)
        levels: Levels = 10 * np.log10(np.maximum(power, _MIN_POWER))
    return levels


def variation_db(levels: Levels) -> Levels:
    """Return how much the loudness of each channel varies, from its low level to its loudest frame."""
    low = np.sort(levels, axis=0)[int(_LOW_FRACTION * len(levels))]
    with np.errstate(invalid="ignore"):
        variation: Levels = levels.max(axis=0) - low
    return variation
