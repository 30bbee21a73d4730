"""Decode attention, one layer: Triton's kernel against torch's products, by the bytes that must be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.gpu.parts.measure import L2_BYTES, MAX_WORKS, release, repeated_us
from bench.gpu.running import Check, Log
from hf_asr_endpoint.whisper.device.operations import HAS_TRITON
from hf_asr_endpoint.whisper.device.operations import attend as torch_attend

ROWS = (1, 4, 16, 64, 128, 256)
N_HEADS, HEAD_DIM = 20, 64  # of turbo and of large-v3, whose decoder layers have one shape
N_POSITIONS = 1_500
MIXED = (300, 500, 750, 1_000, 1_250, 1_500)
CONFIGURATIONS = (
    {"block_keys": 32, "n_warps": 2, "n_stages": 4},
    {"block_keys": 64, "n_warps": 4, "n_stages": 3},
    {"block_keys": 64, "n_warps": 2, "n_stages": 4},
    {"block_keys": 128, "n_warps": 4, "n_stages": 2},
    {"block_keys": 128, "n_warps": 4, "n_stages": 3},
    {"block_keys": 128, "n_warps": 8, "n_stages": 3},
)
SPLITS = {1: (8, 16), 4: (4, 8, 16), 16: (1, 2, 4), 64: (1, 2), 128: (1,), 256: (1,)}


@torch.inference_mode()
def run(check: Check, log: Log) -> None:
    rows = ROWS[:2] if check.is_small else ROWS
    n_heads, n_positions = (2, 96) if check.is_small else (N_HEADS, N_POSITIONS)
    dtype = torch.float16 if check.device == "cuda" else torch.float32
    size = (max(32, *rows), n_heads, n_positions, HEAD_DIM)
    keys, values = (torch.randn(size, device=check.device, dtype=dtype) for _ in range(2))
    bench = AttentionBench(check, log, keys, values)
    with log.part("correct"):
        bench.compare()
    if HAS_TRITON and not check.is_small:
        for n_rows in (64, 16, 1):
            with log.part(f"configurations, {n_rows} rows"):
                bench.tune(n_rows)
    for n_rows in rows:
        for name, lengths in (
            ("whole", (n_positions,)),
            ("mixed", tuple(n * n_positions // 1_500 for n in MIXED)),
        ):
            with log.part(f"{n_rows} rows, {name} windows"):
                bench.measure(n_rows, lengths, name=f"{n_rows} rows, {name} windows")
    for n_windows in rows[:2] if check.is_small else (1, 16, 64):
        with log.part(f"{n_windows} windows with 5 beams"):
            bench.measure_beams(n_windows, n_queries=5)
    with log.part("self-attention"):
        bench.measure_self_attention(rows)
    release(check)


class AttentionBench:
    """keys, values: shape = (n_slots, n_heads, n_positions, head_dim)."""

    def __init__(self, check: Check, log: Log, keys: Tensor, values: Tensor) -> None:
        self._check, self._log, self._keys, self._values = check, log, keys, values

    def compare(self) -> None:
        """Compare the kernel with float32's products, for windows of mixed lengths, in scattered slots."""
        if not HAS_TRITON:
            return
        from hf_asr_endpoint.whisper.device.triton_kernels import attention as attention_kernels

        n = min(24, len(self._keys) - 1)
        slots = torch.randperm(len(self._keys), device=self._check.device)[:n]
        lengths = self._int32([1 + (index * 67) % self._keys.shape[2] for index in range(n)])
        queries = self._queries(n, 1)
        found = attention_kernels.attend(queries, self._keys, self._values, slots.int(), lengths)
        is_hidden = torch.arange(self._keys.shape[2], device=self._check.device) >= lengths[:, None]
        keys, values = self._keys[slots].float(), self._values[slots].float()
        expected = torch_attend(queries[:, 0].float(), keys, values, is_hidden)
        error = float((found.flatten(1).float() - expected).norm() / expected.norm())
        self._log.write("kernel, relative error", error=error, finite=bool(found.isfinite().all()))

    def tune(self, n_rows: int) -> None:
        from hf_asr_endpoint.whisper.device.triton_kernels import attention as attention_kernels

        found = {}
        for options in CONFIGURATIONS:
            for n_splits in SPLITS[n_rows][:2]:
                works = [
                    partial(attention_kernels.attend, *inputs, n_splits=n_splits, **options)
                    for inputs in self._inputs(n_rows, (self._keys.shape[2],))
                ]
                us = repeated_us(works, self._check, n=5)
                found["/".join(map(str, (*options.values(), n_splits)))] = us
        self._log.write(f"{n_rows} rows, keys a block / warps / stages / splits, us", **found)

    def measure(self, n_rows: int, lengths: Sequence[int], *, name: str) -> None:
        """Measure both forms. Consecutive calls read different slots, so that no cache holds them."""
        all_inputs = self._inputs(n_rows, lengths)
        n_bytes = 2 * sum(lengths[row % len(lengths)] for row in range(n_rows)) * self._keys[0, :, 0].nbytes
        figures: dict[str, Any] = {"bytes": n_bytes}
        if HAS_TRITON:
            from hf_asr_endpoint.whisper.device.triton_kernels import attention as attention_kernels

            for n_splits in SPLITS[n_rows] if not self._check.is_small else (1, 2):
                works = [partial(attention_kernels.attend, *inputs, n_splits=n_splits) for inputs in all_inputs]
                us = repeated_us(works, self._check)
                figures[f"triton, {n_splits} splits"] = {"us": us, "gb_per_s": n_bytes / us / 1e3}
        us = repeated_us([self._torch_work(inputs) for inputs in all_inputs], self._check)
        figures["torch"] = {"us": us, "gb_per_s": n_bytes / us / 1e3}
        self._log.write(name, **figures)

    def measure_beams(self, n_windows: int, *, n_queries: int) -> None:
        """Measure several queries of one window: together in one read, and as rows of their own."""
        length = self._keys.shape[2]
        n_bytes = 2 * n_windows * length * self._keys[0, :, 0].nbytes
        figures: dict[str, Any] = {}
        if HAS_TRITON:
            from hf_asr_endpoint.whisper.device.triton_kernels import attention as attention_kernels

            works = [
                partial(attention_kernels.attend, self._queries(n_windows, n_queries), *inputs[1:])
                for inputs in self._inputs(n_windows, (length,))
            ]
            us = repeated_us(works, self._check)
            figures["triton"] = {"us": us, "gb_per_s": n_bytes / us / 1e3}
        queries = self._queries(n_windows, n_queries).transpose(1, 2)
        keys, values = self._keys[:n_windows], self._values[:n_windows]
        us = repeated_us([lambda: (queries @ keys.transpose(2, 3)).softmax(dim=-1) @ values], self._check)
        figures["torch, no mask, perhaps from the cache"] = {"us": us, "gb_per_s": n_bytes / us / 1e3}
        self._log.write(f"{n_windows} windows with {n_queries} beams", **figures)

    def measure_self_attention(self, rows: Sequence[int]) -> None:
        if not HAS_TRITON:
            return
        from hf_asr_endpoint.whisper.device.triton_kernels import attention as attention_kernels

        for n_rows in rows:
            figures = {}
            for position in (60, 400) if not self._check.is_small else (20,):
                heads = self._queries(n_rows, 3)
                slots, positions = self._int32(range(n_rows)), self._int32([position] * n_rows)
                work = partial(attention_kernels.attend_self, heads, self._keys, self._values, slots, positions)
                figures[f"at position {position}, us"] = repeated_us([work] * 8, self._check)
            self._log.write(f"self-attention, {n_rows} rows", **figures)

    def _inputs(self, n_rows: int, lengths: Sequence[int]) -> list[tuple[Tensor, ...]]:
        """Return the arguments of consecutive calls."""
        n_slots, bytes_a_row = len(self._keys), 2 * self._keys[0].nbytes
        n_works = 1 if self._check.is_small else min(MAX_WORKS, max(2, round(2 * L2_BYTES / bytes_a_row / n_rows)))
        lengths_a_row = self._int32([lengths[row % len(lengths)] for row in range(n_rows)])
        return [
            (
                self._queries(n_rows, 1),
                self._keys,
                self._values,
                self._int32([(work * n_rows + row) % n_slots for row in range(n_rows)]),
                lengths_a_row,
            )
            for work in range(n_works)
        ]

    def _torch_work(self, inputs: tuple[Tensor, ...]) -> Callable[[], Tensor]:
        """Return products over whole rows of the cache, which must be adjacent, with a mask made outside."""
        queries, keys, values, slots, lengths = inputs
        n_rows, first = len(slots), int(slots[0])
        first = min(first, len(keys) - n_rows)
        is_hidden = torch.arange(keys.shape[2], device=keys.device) >= lengths[:, None]
        rows = slice(first, first + n_rows)
        return partial(torch_attend, queries[:, 0], keys[rows], values[rows], is_hidden)

    def _queries(self, n_rows: int, n_queries: int) -> Tensor:
        size = (n_rows, n_queries, self._keys.shape[1], HEAD_DIM)
        return torch.randn(size, device=self._check.device, dtype=self._keys.dtype) * HEAD_DIM**-0.5

    def _int32(self, numbers: Sequence[int]) -> Tensor:
        return torch.tensor(list(numbers), dtype=torch.int32, device=self._check.device)
