"""Where a turn that is too long is cut. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from hf_asr_endpoint.audio.speech_spans import Span
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

FRAME_SAMPLES = SAMPLE_RATE // 10


def quiet_sample(speech: Sequence[Span], waveform: Waveform, *, start: int) -> int:
    """Return the middle of the longest pause, or else of the quietest tenth of a second.

    speech: in the waveform, in samples from where `start` counts. waveform: at least a tenth of a second.
    """
    end = start + len(waveform)
    edges = [start, *itertools.chain.from_iterable((span.start, span.end) for span in speech), end]
    pauses = list(zip(edges[::2], edges[1::2], strict=True))
    begin, stop = max(pauses, key=lambda pause: pause[1] - pause[0])
    if stop - begin >= FRAME_SAMPLES:
        return (begin + stop) // 2
    n_frames = len(waveform) // FRAME_SAMPLES
    frames = waveform[: n_frames * FRAME_SAMPLES].reshape(n_frames, FRAME_SAMPLES)
    return start + int(np.square(frames).mean(axis=1).argmin()) * FRAME_SAMPLES + FRAME_SAMPLES // 2
