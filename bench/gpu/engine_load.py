"""Phase 6: the engine under load, with its scheduler and thread: many windows, whose texts are equally long."""

from __future__ import annotations

import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import torch
from torch import Tensor

from bench.gpu.correctness import ENCODER_PADDING_S
from bench.gpu.running import Check, Log
from bench.gpu.shapes import LARGE, SMALL, TURBO, Shape, random_mel, random_model
from bench.gpu.steps import LENGTHS, release_memory
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Attempt, Request, Sequence
from hf_asr_endpoint.units import N_POSITIONS, TIME_PRECISION_S, WINDOW_S
from hf_asr_endpoint.whisper.decoding.state import AttemptRules

N_TOKENS = 110  # of half a minute of speech
N_MELS = 18  # different windows, used in turn
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """n_windows: in all. positions: of the windows, in turn. windows_per_step: see `Engine`.

    is_one_request: as for one long file; otherwise each window is a request. looks_ahead: see `RunningRows`.
    """

    shape: Shape = TURBO
    slots: int = 64
    n_windows: int = 192
    positions: tuple[int, ...] = (N_POSITIONS,)
    windows_per_step: int = 8
    is_one_request: bool = False
    looks_ahead: bool = True


LOADS = {
    "64 slots": Load(n_windows=768),
    "64 slots, large-v3": Load(shape=LARGE, n_windows=256),
    "64 slots, clips of 5 s": Load(n_windows=1_024, positions=(450,)),
    "64 slots, large-v3, clips of 5 s": Load(shape=LARGE, n_windows=768, positions=(450,)),
    "128 slots": Load(slots=128, n_windows=768),
    "64 slots, without lookahead": Load(n_windows=384, looks_ahead=False),
    "64 slots, a window encoded a step": Load(n_windows=384, windows_per_step=1),
    "64 slots, windows of mixed lengths": Load(n_windows=384, positions=LENGTHS),
    "64 slots, one request": Load(n_windows=384, is_one_request=True),
    "16 slots": Load(slots=16, n_windows=192),
    "1 slot": Load(slots=1, n_windows=8),
}
SMALL_LOADS = {"small": Load(shape=SMALL, slots=4, n_windows=6, positions=(200, 500))}


def run(check: Check, log: Log) -> None:
    for name, load in (SMALL_LOADS if check.is_small else LOADS).items():
        with log.part(name):
            run_load(check, log, name, load)
        release_memory(check)


def run_load(check: Check, log: Log, name: str, load: Load) -> None:
    model = random_model(load.shape, device=check.device, slots=load.slots, looks_ahead=load.looks_ahead)
    engine = Engine(model, slots=load.slots, windows_per_step=load.windows_per_step)
    ended: SimpleQueue[Sequence] = SimpleQueue()
    engine.start()
    for sequence in make_sequences(load, 2, ended):  # To warm up.
        engine.submit(sequence)
    for _ in range(2):
        ended.get(timeout=TIMEOUT_S)
    sequences = make_sequences(load, load.n_windows, ended)
    started = time.perf_counter()
    for sequence in sequences:
        engine.submit(sequence)
    done = collect(ended, load.n_windows, until=started + TIMEOUT_S)
    elapsed_s = time.perf_counter() - started
    errors = [str(sequence.error) for sequence in done if sequence.error is not None]
    finished = [sequence for sequence in done if sequence.error is None]
    log.write(
        name,
        audio_s_per_s=sum(audio_s(_n_positions(sequence)) for sequence in finished) / elapsed_s,
        windows_per_s=len(finished) / elapsed_s,
        tokens_per_s=sum(len(sequence.state.sampled) for sequence in done) / elapsed_s,
        elapsed_s=elapsed_s,
        n_ended=len(done),
        lengths=sorted({len(sequence.state.sampled) for sequence in finished}),
        errors=errors[:2],
        peak_gb=torch.cuda.max_memory_allocated() / 1e9 if check.device == "cuda" else None,
    )
    engine.close()


def audio_s(n_positions: int) -> float:
    """Return the seconds of audio in a window. A window shorter than 30 s ends with the encoder's padding."""
    return WINDOW_S if n_positions == N_POSITIONS else n_positions * TIME_PRECISION_S - ENCODER_PADDING_S


def make_sequences(load: Load, n: int, ended: SimpleQueue[Sequence]) -> list[Sequence]:
    """Return sequences that put themselves into `ended`."""
    positions = [load.positions[index % len(load.positions)] for index in range(N_MELS)]
    mels = [random_mel(load.shape, n_positions=count, seed=seed) for seed, count in enumerate(positions)]
    request = Request()
    return [
        Sequence(
            request=request if load.is_one_request else Request(),
            attempt=Attempt(
                window=mels[index % N_MELS],
                prompt=load.shape.prompt(),
                rules=_rules(positions[index % N_MELS]),
            ),
            on_attempt=lambda state: None,
            on_end=ended.put,
        )
        for index in range(n)
    ]


def _rules(n_positions: int) -> AttemptRules:
    return AttemptRules(max_new_tokens=round(N_TOKENS * audio_s(n_positions) / WINDOW_S))


def _n_positions(sequence: Sequence) -> int:
    window = sequence.attempt.window
    assert isinstance(window, Tensor)
    return window.shape[1] // 2


def collect(ended: SimpleQueue[Sequence], n: int, *, until: float) -> list[Sequence]:
    """Return the sequences that end before `until`, in seconds of `time.perf_counter`."""
    done: list[Sequence] = []
    try:
        while len(done) < n:
            done.append(ended.get(timeout=max(0.01, until - time.perf_counter())))
    except Empty:
        pass
    return done
