"""What to change to be faster, from what was found. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from hf_asr_endpoint.types import ModelInfo

if TYPE_CHECKING:
    from hf_asr_endpoint.whisper.machine import Machine

USUAL_PADDING_S = 4.0
USUAL_SLOTS = 16


def advise(
    machine: Machine,
    model: ModelInfo | None,
    *,
    load: float | None,
    is_cache_writable: bool,
    encoder_padding_s: float,
    slots: int | Literal["auto"],
) -> list[str]:
    """Return sentences, the most useful first.

    model: None where it could not be loaded. load: processes that ran before, as `os.getloadavg` counts them; None
    where nobody counts.
    """
    return [
        *_about_load(machine, load),
        *_about_devices(machine, model),
        *_about_precision(machine, model),
        *_about_threads(machine),
        *_about_settings(is_cache_writable=is_cache_writable, encoder_padding_s=encoder_padding_s, slots=slots),
    ]


def _about_load(machine: Machine, load: float | None) -> Iterator[str]:
    if load is not None and load > machine.n_logical / 2:
        yield (
            f"other processes want {load:.1f} of {machine.n_logical} logical processors: without them it is "
            "faster than the self-test says"
        )


def _about_devices(machine: Machine, model: ModelInfo | None) -> Iterator[str]:
    if machine.has_unused_gpu:
        yield "there is an NVIDIA GPU, and this torch cannot use it: install torch's build for CUDA"
    if model is not None and model.device == "cpu" and machine.devices[0] != "cpu":
        yield f"the model runs on the CPU, and there is a GPU: --devices {machine.devices[0]}"


def _about_precision(machine: Machine, model: ModelInfo | None) -> Iterator[str]:
    if model is None or model.device != "cpu":
        return
    if model.engine == "transformers":
        if model.is_whisper:
            yield f"the transformers engine is several times slower, and is used because {model.engine_reason}"
        return
    if not machine.levels:
        yield (
            "no kernels run here: they need AVX2 or Arm's dot products, and an OpenMP that they know; "
            "a newer processor is several times as fast"
        )
    elif model.dtype != "int8":
        yield f"the model computes in {model.dtype}: --dtype auto takes int8, which is several times as fast"
    elif model.cpu_level != machine.levels[0]:
        yield f"the kernels are those for {model.cpu_level}, and {machine.levels[0]} is faster: --cpu-level auto"


def _about_threads(machine: Machine) -> Iterator[str]:
    usable = machine.n_cores if machine.quota is None else max(1, min(machine.n_cores, int(machine.quota)))
    if machine.forced_threads is not None and machine.n_threads != usable:
        yield (
            f"{machine.forced_threads} sets {machine.n_threads} threads, and {usable} cores can be used: "
            "unset it, and the number is found by itself"
        )
    if machine.quota is not None and machine.quota < machine.n_cores:
        yield (
            f"a quota allows {machine.quota:g} of {machine.n_cores} cores: raise it (docker run --cpus, "
            "Kubernetes' limits.cpu), to a whole number"
        )


def _about_settings(
    *, is_cache_writable: bool, encoder_padding_s: float, slots: int | Literal["auto"]
) -> Iterator[str]:
    if not is_cache_writable:
        yield "the cache cannot be written, so every start converts and compiles again: give another --cache-dir"
    if encoder_padding_s > USUAL_PADDING_S:
        yield f"--encoder-padding-s is {encoder_padding_s:g}: {USUAL_PADDING_S:g} is faster for short audio"
    if slots != "auto" and slots < USUAL_SLOTS:
        yield f"--slots is {slots}: with {USUAL_SLOTS}, more is decoded at the same time, and memory grows"
