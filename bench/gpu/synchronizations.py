"""Phase 5: the source lines at which the host waits for the device, and how busy the device is meanwhile."""

from __future__ import annotations

import linecache
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bench.gpu.batch import feed_prompts_again, free_batch, run_step
from bench.gpu.internals import AnyModel
from bench.gpu.running import Check, Log, shorten_path
from bench.gpu.shapes import SMALL, TURBO, Shape, random_mel, random_model
from bench.gpu.steps import BEAMS, MIN_TOKENS, N_SLOTS, SAMPLING, prefilled_batch
from bench.gpu.timing import measure
from hf_asr_endpoint.units import N_POSITIONS
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.language_scores import PositionSpan

SYNCHRONIZES = "called a synchronizing"  # part of torch's warning
N_STEPS = 6
N_PROFILED = 8
N_SLOWEST = 14  # kernels, and operators, that are listed

_ARGUMENTS = re.compile(r"[<(].*")
_FUNCTOR = re.compile(r"\w+Functor|\w+_kernel_cuda|\w+Op\b")


def run(check: Check, log: Log) -> None:
    shape = SMALL if check.is_small else TURBO
    is_on_gpu = check.device == "cuda"
    model = random_model(shape, device=check.device, slots=N_SLOTS)
    if is_on_gpu:
        torch.cuda.synchronize()
    n_rows = 16 if is_on_gpu else 2
    count_in_steps(log, model, shape, n_rows, is_on_gpu=is_on_gpu)
    with log.part("waits, others"):
        count_in_other_calls(log, model, shape, n_rows, is_on_gpu=is_on_gpu)
    for n_profiled in (1, 16, 64) if is_on_gpu else (2,):
        with log.part(f"profile, {n_profiled} rows"):
            batch = prefilled_batch(model, shape, n_profiled)
            figures = profile_device(partial(run_step, model, batch), check.device)
            log.write(f"profile, step of {n_profiled} rows", **figures)
            free_batch(model, batch)
    with log.part("profile, encode"):
        mel = random_mel(shape)
        log.write("profile, one window encoded", **profile_device(lambda: model.encode({0: mel}), check.device))
    with log.part("profile, prefill"):
        batch = prefilled_batch(model, shape, n_rows)
        figures = profile_device(lambda: feed_prompts_again(model, batch), check.device)
        log.write(f"profile, prefill of {n_rows} rows", **figures)


def count_in_steps(log: Log, model: AnyModel, shape: Shape, n_rows: int, *, is_on_gpu: bool) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "greedy": {"n_windows": n_rows},
        "greedy, windows of mixed lengths": {"n_windows": n_rows, "is_mixed": True},
        "min_new_tokens": {"n_windows": n_rows, "rules": MIN_TOKENS},
        "temperature 0.6": {"n_windows": n_rows, "rules": SAMPLING},
        "4 beams a window": {"n_windows": n_rows // 4 or 1, "rules": BEAMS},
    }
    for kind, options in kinds.items():
        with log.part(f"waits, {kind}"):
            batch = prefilled_batch(model, shape, **options)
            run_step(model, batch)
            with synchronizing_lines(is_on_gpu) as lines:
                for _ in range(N_STEPS):
                    run_step(model, batch)
            log.write(f"waits a step of {n_rows} rows, {kind}", **count_per_call(lines, N_STEPS))
            free_batch(model, batch)


def count_in_other_calls(log: Log, model: AnyModel, shape: Shape, n_rows: int, *, is_on_gpu: bool) -> None:
    batch = prefilled_batch(model, shape, n_rows)
    mel = random_mel(shape)
    spans = {0: [PositionSpan(0, N_POSITIONS // 2), PositionSpan(N_POSITIONS // 2, N_POSITIONS)]}
    tokens = tuple(range(1_000, 1_030))
    text = AlignmentInput(prompt=shape.prompt().tokens, tokens=tokens, n_positions=N_POSITIONS)
    calls: dict[str, Callable[[], Any]] = {
        "encoding one window": lambda: model.encode({0: mel}),
        "encoding one window, with the languages of two parts": lambda: model.encode({0: mel}, spans=spans),
        f"prefill of {n_rows} rows": lambda: feed_prompts_again(model, batch),
        "word times of one text": lambda: model.align({0: text}),
        "freeing a slot": lambda: model.free(1),
    }
    for name, call in calls.items():
        with synchronizing_lines(is_on_gpu) as lines:
            call()
        log.write(f"waits, {name}", **count_per_call(lines, 1))
    free_batch(model, batch)


@contextmanager
def synchronizing_lines(is_on_gpu: bool) -> Iterator[Counter[str]]:
    """Count the synchronizations of host and device, by source line. On the CPU there are none."""
    lines: Counter[str] = Counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if is_on_gpu:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            yield lines
        finally:
            if is_on_gpu:
                torch.cuda.set_sync_debug_mode("default")
    lines.update(
        f"{shorten_path(warning.filename)}:{warning.lineno} "
        f"{linecache.getline(warning.filename, warning.lineno).strip()}"
        for warning in caught
        if SYNCHRONIZES in str(warning.message)
    )


def count_per_call(lines: Counter[str], n_calls: int) -> dict[str, Any]:
    return {
        "n": sum(lines.values()) / n_calls,
        "lines": {line: count / n_calls for line, count in lines.most_common()},
    }


def profile_device(work: Callable[[], Any], device: str) -> dict[str, Any]:
    """Return how busy the device is with some work, and its slowest kernels and operators."""
    for _ in range(2):
        work()
    is_on_gpu = device == "cuda"
    wall_ms = measure(work, device=device, n=N_PROFILED).wall_ms
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_on_gpu else [])]
    with profile(activities=activities) as record:
        for _ in range(N_PROFILED):
            work()
        if is_on_gpu:
            torch.cuda.synchronize()
    return summarize_events(record.events() or [], wall_ms)


def summarize_events(events: Sequence[Any], wall_ms: float) -> dict[str, Any]:
    """Return figures for one repetition of N_PROFILED."""
    kernel_us: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    operator_us: Counter[str] = Counter()
    for event in events:
        if _ran_on(event, "CUDA"):
            name = kernel_name(event.name)
            kernel_us[name] += event.time_range.elapsed_us()
            counts[name] += 1
        elif _ran_on(event, "CPU"):
            operator_us[event.name] += event.self_cpu_time_total
    busy_ms = sum(kernel_us.values()) / N_PROFILED / 1e3
    n_copies = sum(count for name, count in counts.items() if name.startswith("Memcpy"))
    return {
        "wall_ms": wall_ms,
        "busy_ms": busy_ms,
        "busy_share": busy_ms / wall_ms,
        "n_kernels": (sum(counts.values()) - n_copies) / N_PROFILED,
        "n_copies": n_copies / N_PROFILED,
        "kernels": {
            name: {"us": us / N_PROFILED, "n": counts[name] / N_PROFILED}
            for name, us in kernel_us.most_common(N_SLOWEST)
        },
        "operators_us": {name: us / N_PROFILED for name, us in operator_us.most_common(N_SLOWEST)},
    }


def _ran_on(event: Any, device: str) -> bool:
    return str(event.device_type).endswith(f".{device}")


def kernel_name(name: str) -> str:
    """Return a kernel's name without its types and arguments, but with the functor that it applies to elements."""
    name = name.removeprefix("void ").replace("(anonymous namespace)::", "")
    functor = _FUNCTOR.search(name)
    return _ARGUMENTS.sub("", name)[:90] + (f" {functor[0]}" if functor else "")
