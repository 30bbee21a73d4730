"""Audio seconds a second of the prototype's loop: encoding beside decoding, and one after the other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from bench.gpu.proposals import HAS_TRITON
from bench.gpu.proposals.measure import release
from bench.gpu.proposals.pipeline import N_TOKENS, Pipeline, PipelineOptions
from bench.gpu.proposals.ragged_encoder import HiddenLayer, exact_hidden
from bench.gpu.proposals.weights import decoder_weights, encoder_weights
from bench.gpu.running import Check, Log
from bench.gpu.shapes import LARGE, TURBO, random_tensors
from hf_asr_endpoint.units import WINDOW_S

ROWS = (64, 128, 256)
N_GROUPS = 24  # measured; slow runs get fewer
FIVE_SECONDS = 450  # positions of a window with 5 s of audio and 4 s of padding


@torch.inference_mode()
def run(check: Check, log: Log) -> None:
    if check.device != "cuda":
        log.write("needs a GPU: streams and graphs have no counterpart on the CPU")
        return
    for shape in (TURBO, LARGE):
        tensors = random_tensors(shape, device="cuda", dtype=torch.float16)
        weights = encoder_weights(tensors, shape.config), decoder_weights(tensors, shape.config)
        for options, name in loads():
            with log.part(f"{shape.name}, {name}"):
                pipeline = Pipeline(shape, *weights, options, hidden=fastest_hidden())
                pipeline.run(3)
                n_groups = max(N_GROUPS, 2 * options.n_rows // options.group)
                seconds = pipeline.run(n_groups)
                n_windows = n_groups * options.group
                figures: dict[str, Any] = {
                    "windows_per_s": n_windows / seconds,
                    "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
                    **asdict(options),
                }
                if options.n_positions == 1_500:
                    figures["audio_s_per_s"] = WINDOW_S * n_windows / seconds
                log.write(f"{shape.name}, {name}", seconds=seconds, **figures)
                del pipeline
            release(check)
            torch.cuda.reset_peak_memory_stats()
        del tensors, weights
        release(check)


def loads() -> list[tuple[PipelineOptions, str]]:
    found = []
    for n_rows in ROWS:
        for overlaps in (True, False):
            name = f"{n_rows} rows, {'overlapped' if overlaps else 'one after the other'}"
            found.append((PipelineOptions(n_rows=n_rows, overlaps=overlaps), name))
    found.append((PipelineOptions(n_rows=64, looks_ahead=False), "64 rows, overlapped, no lookahead"))
    found.append((PipelineOptions(n_rows=128, group=16), "128 rows, overlapped, 16 windows at once"))
    clip = PipelineOptions(n_rows=128, group=16, n_positions=FIVE_SECONDS, n_tokens=round(N_TOKENS / 6))
    found.append((clip, "128 rows, overlapped, clips of 5 s"))
    return found


def fastest_hidden() -> HiddenLayer:
    if not HAS_TRITON:
        return exact_hidden
    from bench.gpu.proposals.gelu_kernel import linear_gelu

    return linear_gelu
