from __future__ import annotations

import io

import av
import pytest

from bench.attacks import Outcome
from bench.bombs import BOMBS, silent_flac, wav

BOMB = BOMBS[0]


@pytest.mark.parametrize(
    ("outcome", "excesses"),
    [
        pytest.param(Outcome(["413", "200"], 1.9, 99.0, 299.0), set(), id="within all limits"),
        pytest.param(Outcome(["413", "500"]), {"status"}, id="an error of the server"),
        pytest.param(Outcome(["ConnectionError"]), {"status"}, id="no response"),
        pytest.param(Outcome(["413"], 2.1, 101.0, 301.0), {"elapsed", "wait", "grown"}, id="too much of all"),
    ],
)
def test_what_exceeds_a_limit(outcome: Outcome, excesses: set[str]) -> None:
    assert outcome.excesses(BOMB) == excesses


def test_the_silent_flac_is_well_formed() -> None:
    with av.open(io.BytesIO(silent_flac(100)), mode="r") as container:
        rate_hz = container.streams.audio[0].rate
        seconds = sum(frame.samples for frame in container.decode(audio=0)) / rate_hz
    assert seconds == pytest.approx(100, abs=11)


def test_a_wav_may_promise_more_than_it_holds() -> None:
    honest = wav(n_samples=10)
    assert len(honest) == 44 + 20
    lying = wav(n_samples=10, n_promised=2**32 - 1)
    assert lying[40:44] == b"\xff" * 4
    assert len(lying) == len(honest)
