"""How many windows are encoded together, and what that gives on a simulated GPU."""

from __future__ import annotations

import pytest

from bench.gpu.shapes import LARGE, TURBO, Shape
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Attempt, Request, Sequence
from hf_asr_endpoint.units import N_POSITIONS, WINDOW_S
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt
from tests.engine.simulated_gpu import Card, SimulatedGpu

CEILING = Card(name="an H100 at its ceiling", flop_per_s=790e12, bytes_per_s=3.3e12)
SLOTS, BATCH = 64, 8
CLIP_POSITIONS, CLIP_TOKENS = 450, 18  # of 5 s


class Load:
    """Submits windows to an engine, and takes steps until all have ended. ends_s: when, by number of positions."""

    def __init__(self, shape: Shape) -> None:
        self.model = SimulatedGpu(CEILING, shape)
        self._engine = Engine(self.model, slots=SLOTS, windows_per_step=BATCH)
        self._n_running = 0
        self.ends_s: dict[int, list[float]] = {N_POSITIONS: [], CLIP_POSITIONS: []}

    def add(self, n: int, *, n_positions: int, n_tokens: int, request: Request | None = None) -> None:
        """Lengths of texts differ. request: of all; None: each has its own."""
        for index in range(n):
            attempt = Attempt(
                window=n_positions,
                prompt=DecoderPrompt(tokens=(1, 2, 3)),
                rules=AttemptRules(max_new_tokens=n_tokens * (50 + index * 37 % 101) // 100),
            )
            self._n_running += 1
            self._engine.submit(
                Sequence(
                    request=request or Request(),
                    attempt=attempt,
                    on_attempt=lambda state: None,
                    on_end=self._end,
                )
            )

    def _end(self, sequence: Sequence) -> None:
        assert sequence.error is None
        self._n_running -= 1
        self.ends_s[sequence.attempt.window].append(self.model.now_s)

    def run(self, *, until_s: float = 1e9) -> None:
        while self._n_running and self.model.now_s < until_s:
            self._engine.step()


@pytest.mark.parametrize(("shape", "expected"), [(TURBO, 4_000), (LARGE, 1_400)], ids=["turbo", "large"])
def test_whole_windows_come_near_the_ceiling(shape: Shape, expected: int) -> None:
    load, n = Load(shape), 4 * SLOTS
    load.add(n, n_positions=N_POSITIONS, n_tokens=110)
    load.run()
    assert n * WINDOW_S / load.model.now_s > expected


def test_short_windows_are_encoded_in_full_batches() -> None:
    load, n = Load(TURBO), 4 * SLOTS
    load.add(n, n_positions=CLIP_POSITIONS, n_tokens=CLIP_TOKENS)
    load.run()
    assert n / len(load.model.batches) > 0.9 * BATCH
    assert n / load.model.now_s > 550  # clips a second; 360 if each window were encoded as soon as a slot is free


def test_a_clip_does_not_wait_for_a_long_file() -> None:
    """The file's windows that run already advance by two at a time while a clip is there."""
    load = Load(TURBO)
    load.add(200, n_positions=N_POSITIONS, n_tokens=110, request=Request())
    load.run(until_s=0.3)
    began_s = load.model.now_s
    load.add(1, n_positions=CLIP_POSITIONS, n_tokens=CLIP_TOKENS)
    load.run()
    (end_s,) = load.ends_s[CLIP_POSITIONS]
    assert end_s - began_s < 0.1
    assert len(load.ends_s[N_POSITIONS]) == 200
