"""The phases of `bench.gpu_check` as on a GPU, with the CPU in its place: a wrong name must not cost its time.

Tensors "on cuda" lie on the CPU, and torch.cuda's calls do nothing. Figures mean nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from bench.gpu import engine_load, shapes, steps, timing
from bench.gpu.parts import attention_phase, audio_phase, encoder_phase, measure, ragged_attention, step_phase
from bench.gpu.running import Check, Log
from hf_asr_endpoint.whisper.device.accelerator import HostAccelerator

Run = Callable[[Check, Log], None]


class OnTheCpu(TorchFunctionMode):
    """Puts tensors on the CPU that are asked for on "cuda"."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return func(*map(_move, args), **{name: _move(value) for name, value in (kwargs or {}).items()})


def _move(value: Any) -> Any:
    if value is torch.float16:  # On a CPU, some factors of float16 weights are computed in float32.
        return torch.float32
    is_device = isinstance(value, torch.device) or (isinstance(value, str) and value == "cuda")
    return torch.device("cpu") if is_device else value


class Event:
    def __init__(self, enable_timing: bool = False) -> None:
        self.at_s = 0.0

    def record(self) -> None:
        self.at_s = time.perf_counter()

    def elapsed_time(self, other: Event) -> float:
        return 1e3 * (other.at_s - self.at_s) + 1e-3


class Accelerator(HostAccelerator):
    def __init__(self, device: torch.device) -> None:
        super().__init__()


@pytest.fixture
def rehearsal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Check]:
    def nothing(*args: object) -> int:
        return 0

    names = ("synchronize", "empty_cache", "reset_peak_memory_stats", "set_sync_debug_mode")
    for name in (*names, "memory_allocated", "max_memory_allocated", "memory_reserved"):
        monkeypatch.setattr(torch.cuda, name, nothing)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(timing, "LIMIT_S", 0.0)
    monkeypatch.setattr(step_phase, "N_UNSYNCHRONIZED", 2)
    monkeypatch.setattr(encoder_phase, "POSITIONS", (60,))
    monkeypatch.setattr(encoder_phase, "MIXED", (45, 75, 150))
    for name in ("flash", "cudnn"):
        monkeypatch.setitem(ragged_attention.ATTENTIONS, name, ragged_attention.attend_by_window)
    monkeypatch.setattr(shapes, "CudaAccelerator", Accelerator)
    monkeypatch.setattr(measure, "CudaAccelerator", Accelerator)
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator("cpu"))
    small = {"TURBO": shapes.SMALL, "LARGE": shapes.SMALL, "TINY": shapes.SMALL}
    for module in (step_phase, encoder_phase, steps, engine_load):
        for name, shape in small.items():
            monkeypatch.setattr(module, name, shape, raising=False)
    with OnTheCpu():
        yield Check(
            device="cuda",
            is_small=True,
            directory=tmp_path,
            packed=tmp_path,
            out=tmp_path / "lines.jsonl",
            began=time.time(),
        )


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(engine_load.run, id="engine"),
        pytest.param(step_phase.run, id="step"),
        pytest.param(encoder_phase.run, id="encoder"),
        pytest.param(attention_phase.run, id="attention"),
        pytest.param(audio_phase.run, id="audio"),
        pytest.param(steps.run, id="steps"),
    ],
)
def test_the_lines_that_only_a_gpu_reaches_run(rehearsal: Check, run: Run) -> None:
    run(rehearsal, Log(rehearsal, "rehearsal"))
    lines = [json.loads(line) for line in rehearsal.out.read_text().splitlines()]
    assert lines
    assert [line for line in lines if line.get("error") or line.get("errors")] == []
