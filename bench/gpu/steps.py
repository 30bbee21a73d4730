"""Phase 4: a decode step of the model for few and many rows, and prefills."""

from __future__ import annotations

import gc
import random
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from bench.gpu.batch import Batch, encode_batch, feed_prompts_again, free_batch, run_step
from bench.gpu.internals import AnyModel
from bench.gpu.running import Check, Log
from bench.gpu.shapes import LARGE, SMALL, TINY, TURBO, Shape, random_mel, random_model, weight_bytes
from bench.gpu.timing import measure
from hf_asr_endpoint.decoding_options import MODELS_OWN_TOKENS, BeamOptions, DecodingOptions
from hf_asr_endpoint.units import N_POSITIONS
from hf_asr_endpoint.whisper.decoding.state import AttemptRules

ROWS = (1, 4, 16, 64)
N_SLOTS = 64
N_STEPS = 24  # measured ones; with those of the warm-up they stay within a text's first 64 tokens
LENGTHS = (300, 500, 750, 1_000, 1_250, 1_500)  # positions, of windows of mixed lengths
N_PREVIOUS = 200  # tokens of the previous text, in long prompts

GREEDY = AttemptRules(max_new_tokens=400)
MIN_TOKENS = replace(GREEDY, min_new_tokens=400)
SAMPLING = replace(GREEDY, temperature=0.6)
BEAMS = replace(GREEDY, options=DecodingOptions(beams=BeamOptions(num_beams=4)))
SUPPRESSION = replace(GREEDY, options=DecodingOptions(suppress_tokens=(MODELS_OWN_TOKENS, 11)))


def run(check: Check, log: Log) -> None:
    for shape in (SMALL,) if check.is_small else (TURBO, TINY, LARGE):
        model = random_model(shape, device=check.device, slots=N_SLOTS)
        log.write(f"{shape.name}, loaded", **gpu_memory(check))
        with log.part(f"{shape.name}, one window"):
            mel = random_mel(shape)
            times = measure(partial(model.encode, {0: mel}), device=check.device, n=10)
            log.write(f"{shape.name}, one window encoded and its keys and values written", **times.figures)
            model.free(0)
        for n_rows in _rows(check, shape):
            with log.part(f"{shape.name}, {n_rows} rows"):
                measure_greedy(check, log, model, shape, n_rows)
        if shape is not LARGE:
            with log.part(f"{shape.name}, variations"):
                measure_variations(check, log, model, shape)
        log.write(f"{shape.name}, in the end", **gpu_memory(check))
        del model
        release_memory(check)


def _rows(check: Check, shape: Shape) -> tuple[int, ...]:
    if check.is_small:
        return ROWS[:2]
    return (ROWS[0], ROWS[-1]) if shape is LARGE else ROWS


def gpu_memory(check: Check) -> dict[str, float]:
    if check.device != "cuda":
        return {}
    return {
        "allocated_gb": torch.cuda.memory_allocated() / 1e9,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
        "reserved_gb": torch.cuda.memory_reserved() / 1e9,
    }


def release_memory(check: Check) -> None:
    """Release the memory of a model that is no longer used."""
    gc.collect()  # A model is part of a cycle of references.
    if check.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def prefilled_batch(
    model: AnyModel,
    shape: Shape,
    n_windows: int,
    *,
    rules: AttemptRules = GREEDY,
    n_previous: int = 0,
    is_mixed: bool = False,
) -> Batch:
    """Return encoded windows whose prompts have been fed.

    is_mixed: the windows have the lengths of LENGTHS, at random; otherwise all are whole.
    """
    generator = random.Random(0)
    mels = [
        random_mel(shape, n_positions=generator.choice(LENGTHS) if is_mixed else N_POSITIONS, seed=index)
        for index in range(n_windows)
    ]
    batch = encode_batch(model, mels, shape.prompt(n_previous=n_previous), rules)
    model.prefill(batch.states)
    return batch


def measure_greedy(check: Check, log: Log, model: AnyModel, shape: Shape, n_rows: int) -> None:
    batch = prefilled_batch(model, shape, n_rows)
    step_bytes = weight_bytes(shape)
    n_bytes = step_bytes["weights"] + n_rows * step_bytes["window"]
    times = measure(partial(run_step, model, batch), device=check.device, n=N_STEPS)
    name, ms = f"{shape.name}, {n_rows} rows", times.wall_ms
    log.write(f"{name}, step", gb_per_s=n_bytes / ms / 1e6, ms_a_row=ms / n_rows, **times.figures)
    free_batch(model, batch)


def measure_variations(check: Check, log: Log, model: AnyModel, shape: Shape) -> None:
    """Measure steps that differ from the plain greedy ones, and prefills."""
    many, some = (4, 2) if check.is_small else (64, 16)
    variations: dict[str, dict[str, Any]] = {
        f"{many} rows, windows of mixed lengths": {"n_windows": many, "is_mixed": True},
        f"{some} rows, windows of mixed lengths": {"n_windows": some, "is_mixed": True},
        f"{many} rows, min_new_tokens": {"n_windows": many, "rules": MIN_TOKENS},
        f"{some} rows, temperature 0.6": {"n_windows": some, "rules": SAMPLING},
        f"{some} rows, suppressed tokens": {"n_windows": some, "rules": SUPPRESSION},
        f"{some} rows, 4 beams a window": {"n_windows": some // 4 or 1, "rules": BEAMS},
        f"{many} rows, after {N_PREVIOUS} tokens": {"n_windows": many, "n_previous": N_PREVIOUS},
    }
    for name, options in variations.items():
        with log.part(f"{shape.name}, {name}"):
            batch = prefilled_batch(model, shape, **options)
            times = measure(partial(run_step, model, batch), device=check.device, n=N_STEPS)
            log.write(f"{shape.name}, {name}, step", **times.figures)
            free_batch(model, batch)
    for n_rows, n_previous in ((1, 0), (some, 0), (1, N_PREVIOUS), (some, N_PREVIOUS)):
        with log.part(f"{shape.name}, prefill"):
            batch = prefilled_batch(model, shape, n_rows, n_previous=n_previous)
            times = measure(partial(feed_prompts_again, model, batch), device=check.device, n=10)
            n_tokens = len(shape.prompt(n_previous=n_previous).tokens)
            log.write(f"{shape.name}, prefill of {n_rows} rows × {n_tokens} tokens", **times.figures)
            free_batch(model, batch)
