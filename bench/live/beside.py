"""A recording of ten seconds, sent as a file: how long it takes beside people who speak."""

from __future__ import annotations

import asyncio
import io
import statistics
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import requests
import soundfile

from bench.live.streaming import RATE, stream
from bench.report import Bar

CLIP_S = 10.0
MAX_RATIO = 3.0
N_TRIES = 7
PAUSE_S = 2.0  # between tries
LEAD_S = 5.0  # in which all sessions come to speak
TIMEOUT_S = 120.0


def measure_beside(url: str, waveforms: Sequence[npt.NDArray[np.float32]]) -> Bar:
    """Return how long a clip takes beside sessions with these waveforms, and how long alone."""
    file = io.BytesIO()
    soundfile.write(file, waveforms[0][: round(CLIP_S * RATE)], RATE, format="FLAC")
    clip = file.getvalue()
    idle_s = statistics.median(_times(url, clip))
    beside_s = asyncio.run(_beside(url, waveforms, clip))
    found = f"{idle_s:.2f} s alone, median {statistics.median(beside_s):.2f} s, longest {max(beside_s):.2f} s"
    ratio = statistics.median(beside_s) / idle_s
    return Bar(
        what=f"a clip of {CLIP_S:.0f} s beside {len(waveforms)} sessions takes at most {MAX_RATIO:.0f} × as long",
        result=f"{ratio:.1f} × ({found})",
        holds=ratio <= MAX_RATIO,
    )


async def _beside(url: str, waveforms: Sequence[npt.NDArray[np.float32]], clip: bytes) -> list[float]:
    speaking = [
        asyncio.create_task(stream(url, waveform, detection={"type": "server_vad"})) for waveform in waveforms
    ]
    await asyncio.sleep(LEAD_S)
    times = await asyncio.to_thread(_times, url, clip)
    for task in speaking:
        task.cancel()
    await asyncio.gather(*speaking, return_exceptions=True)
    return times


def _times(url: str, clip: bytes) -> list[float]:
    times = []
    for _ in range(N_TRIES):
        began = time.perf_counter()
        requests.post(url, data=clip, params={"language": "en"}, timeout=TIMEOUT_S).raise_for_status()
        times.append(time.perf_counter() - began)
        time.sleep(PAUSE_S)  # So that the clips meet the sessions at different moments.
    return times
