"""Phase 1: the machine, and the rates of the basic operations that everything else is built of."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.gpu import internals
from bench.gpu.running import Check, Log
from bench.gpu.timing import measure, synchronize

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "avx_vnni")
GIGA = 1e9
N_LAUNCHES = 1_000


def run(check: Check, log: Log) -> None:
    log.write("versions", **versions())
    with log.part("processor"):
        log.write("processor", **processor())
    if check.device != "cuda":
        return
    with log.part("graphics card"):
        log.write("graphics card", **graphics_card())
    with log.part("settings"):
        log.write("settings", **settings())
    with log.part("ceilings"):
        log.write("ceilings", **ceilings())
    with log.part("single operations"):
        log.write("single operations, microseconds", **single_operations())


def versions() -> dict[str, Any]:
    found: dict[str, Any] = {"python": platform.python_version(), "torch": torch.__version__}
    for name in ("numpy", "numba", "llvmlite", "triton", "tokenizers", "safetensors"):
        try:
            found[name] = __import__(name).__version__
        except ImportError:
            found[name] = None
    return {**found, "cuda": torch.version.cuda, "kernel": platform.release()}


def processor() -> dict[str, Any]:
    """Return the processor's properties on Linux, and which of its instructions this project uses."""
    from hf_asr_endpoint.whisper.kernels.processor import levels

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    properties = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(properties.get("flags", "").split())
    return {
        "model": properties.get("model name"),
        "n_cpus": os.cpu_count(),
        "n_threads": torch.get_num_threads(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "levels": levels(),
        "auto": internals.auto_precision("cpu"),
    }


def graphics_card() -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info()
    fields = "name,driver_version,clocks.sm,clocks.mem,power.limit,pcie.link.gen.current"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    values = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    return {
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "n_multiprocessors": properties.multi_processor_count,
        "free_gb": free / GIGA,
        "total_gb": total / GIGA,
        "cudnn": torch.backends.cudnn.version(),
        fields: values,
    }


def settings() -> dict[str, Any]:
    """Return what torch may choose from, and the device and dtype that the project chooses for "auto"."""
    cuda = torch.backends.cuda
    return {
        "attention": [
            name for name in ("flash", "mem_efficient", "cudnn", "math") if getattr(cuda, f"{name}_sdp_enabled")()
        ],
        "fp16_reduced": cuda.matmul.allow_fp16_reduced_precision_reduction,
        "bf16_reduced": cuda.matmul.allow_bf16_reduced_precision_reduction,
        "tf32": cuda.matmul.allow_tf32,
        "auto": internals.auto_precision("auto"),
    }


def ceilings() -> dict[str, float]:
    """Return the rates of a large copy, in bytes read and written, and of large products."""
    found = {"copy_gb_per_s": copy_rate()}
    for dtype in (torch.float16, torch.bfloat16):
        a, b = (torch.randn((8_192, 8_192), device="cuda", dtype=dtype) for _ in range(2))
        ms = measure(partial(torch.matmul, a, b), device="cuda").device_ms or 0.0
        found[f"{str(dtype).removeprefix('torch.')}_tflop_per_s"] = 2 * 8_192**3 / ms / 1e9
    return found


def copy_rate() -> float:
    source = torch.randn(2**29, device="cuda")
    target = torch.empty_like(source)
    ms = measure(lambda: target.copy_(source), device="cuda").device_ms or 0.0
    return 2 * source.nbytes / ms / 1e6


def single_operations() -> dict[str, float]:
    """Return the host's time for the operations that a step consists of."""
    x = torch.randn((16, 384), device="cuda")
    rows = torch.randn((16, 51_864), device="cuda")
    numbers = list(range(16))
    ids = torch.arange(90, device="cuda")
    weight = torch.randn((384, 384), device="cuda")
    pinned = torch.empty(16, pin_memory=True)
    on_device = torch.empty(16, device="cuda")
    works: dict[str, Callable[[], Any]] = {
        "launch, x.add_(1)": lambda: x.add_(1),
        "linear": lambda: torch.nn.functional.linear(x, weight),
        "layer_norm": lambda: torch.nn.functional.layer_norm(x, (384,)),
        "tensor of a list": lambda: torch.tensor(numbers, device="cuda"),
        "from pinned memory": lambda: on_device.copy_(pinned, non_blocking=True),
        "tolist of 16": lambda: x[:, 0].tolist(),
        "nonzero of 16": lambda: (x[:, 0] > 0).nonzero(),
        "a row's slice = -inf": lambda: rows[3, :5].fill_(-torch.inf),
        "a row's element = -inf": lambda: rows[3].__setitem__(5, -torch.inf),
        "index_fill_ of all rows": lambda: rows.index_fill_(1, ids, -torch.inf),
        "synchronise": torch.cuda.synchronize,
    }
    return {name: _microseconds(work) for name, work in works.items()}


def _microseconds(work: Callable[[], Any]) -> float:
    for _ in range(10):
        work()
    synchronize("cuda")
    started = time.perf_counter()
    for _ in range(N_LAUNCHES):
        work()
    elapsed = time.perf_counter() - started
    synchronize("cuda")
    return 1e6 * elapsed / N_LAUNCHES
