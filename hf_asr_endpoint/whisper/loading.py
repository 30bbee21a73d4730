"""Loads a transformers directory as the engine's model, in the arithmetic that is the fastest on this device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.types import ModelInfo
from hf_asr_endpoint.whisper.checkpoint.failures import translate_read_errors
from hf_asr_endpoint.whisper.checkpoint.loader import (
    Device,
    Dtype,
    WhisperCheckpoint,
    choose_device,
    load_checkpoint,
)
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.device.cuda import CudaAccelerator
from hf_asr_endpoint.whisper.device.device_speech_model import DeviceSpeechModel
from hf_asr_endpoint.whisper.device.self_test import check_device
from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.processor import choose_level
from hf_asr_endpoint.whisper.memory import held_bytes
from hf_asr_endpoint.whisper.model.linear import Arithmetic
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from hf_asr_endpoint.whisper.threads import N_CORES, use_one_core, windows_at_once

CPU_SLOTS = 16
SEQUENCES_PER_STEP = {"avx2": 8}
"""Of short requests at a time, by level, where it was measured: docs/benchmarks.md, "Overload"."""

LoadedModel = WhisperSpeechModel | DeviceSpeechModel

AnyDtype = Dtype | Literal["int8"]


def load_speech_model(
    directory: Path,
    *,
    device: Device,
    dtype: AnyDtype,
    slots: int | Literal["auto"] = "auto",
    cpu_level: str = "auto",
    cache_dir: Path | None = None,
) -> tuple[LoadedModel, WhisperTokenizer, ModelInfo]:
    """Load a transformers directory for the engine.

    slots: "auto" is CPU_SLOTS on a CPU and with MPS; on a GPU what the memory suffices for, see `plan_slots`.

    dtype: "int8" computes linear layers in 8-bit integers and everything else in what the kernels read, bfloat16
    or float32. "auto" is "int8" where our kernel for it runs; elsewhere `load_checkpoint` chooses.
    cpu_level: which kernels run, see `choose_level`. cache_dir: keeps compiled kernels; None: they are compiled at
    every start. Raises ModelUnavailable.
    """
    use_one_core()
    kernels = _find_kernels(choose_device(device), dtype, cpu_level=cpu_level, cache_dir=cache_dir)
    arithmetic = _choose_arithmetic(dtype, kernels)
    checkpoint = load_checkpoint(directory, device=device, dtype=_tensor_dtype(dtype, kernels))
    if arithmetic == "int8" and not (kernels or _has_torch_int8(checkpoint.info.device)):
        raise ModelUnavailable(
            "dtype int8 needs a CPU with AVX2, VNNI or Arm's dot-product instructions, and its kernels; "
            "choose another --dtype or --cpu-level"
        )
    if checkpoint.info.device == "cuda":
        return _load_on_gpu(checkpoint, directory, slots=slots)
    if kernels is not None and arithmetic == "int8":
        kernels.compile_all()
    with translate_read_errors(f"the model in {directory}"):  # Packing reads the weights from the files.
        model = WhisperSpeechModel(
            checkpoint, slots=CPU_SLOTS if slots == "auto" else slots, arithmetic=arithmetic, kernels=kernels
        )
    level = None if kernels is None else kernels.level
    has_other_windows = kernels is None or arithmetic != "int8"
    info = replace(
        checkpoint.info,
        cpu_level=level,
        n_threads=N_CORES,
        compiles_each_shape=has_other_windows,
        windows_per_step=1 if has_other_windows else windows_at_once(N_CORES),
        sequences_per_step=SEQUENCES_PER_STEP.get(level) if level else None,
        memory_bytes=held_bytes(model),
    )
    return model, checkpoint.tokenizer, replace(info, dtype="int8") if arithmetic == "int8" else info


def _load_on_gpu(
    checkpoint: WhisperCheckpoint, directory: Path, *, slots: int | Literal["auto"]
) -> tuple[DeviceSpeechModel, WhisperTokenizer, ModelInfo]:
    accelerator = CudaAccelerator(checkpoint.tensors.device)
    with translate_read_errors(f"the model in {directory}"):
        model = DeviceSpeechModel(checkpoint, slots=None if slots == "auto" else slots, accelerator=accelerator)
    check_device(model, sot=checkpoint.tokenizer.sot, n_mels=checkpoint.n_mels)
    # Capturing the steps has compiled what each number of rows needs.
    info = replace(
        checkpoint.info,
        compiles_each_shape=False,
        windows_per_step=model.windows_per_step,
        memory_bytes=held_bytes(model),
        takes_waveforms=True,
    )
    return model, checkpoint.tokenizer, info


def _find_kernels(
    device: torch.device, dtype: AnyDtype, *, cpu_level: str, cache_dir: Path | None
) -> Kernels | None:
    """Return the kernels that compute with a dtype, None where torch's operators must do."""
    is_forced = cpu_level not in ("auto", "none")
    if device.type != "cpu" or dtype in ("float32", "float16"):
        # A level that is asked for must not be ignored.
        if is_forced:
            given = f"dtype {dtype}" if device.type == "cpu" else f"device {device.type}"
            raise ModelUnavailable(f"cpu level {cpu_level!r} has no kernels for {given}; allowed: auto, none")
        return None
    level = choose_level(cpu_level)
    if level is None:
        return None
    kernels = Kernels(level, cache_dir)
    if dtype == "bfloat16" and kernels.layout.activations != torch.bfloat16:
        if is_forced:
            raise ModelUnavailable(f"cpu level {cpu_level!r} has no kernels for dtype bfloat16; choose dtype int8")
        return None
    return kernels


def _choose_arithmetic(dtype: AnyDtype, kernels: Kernels | None) -> Arithmetic:
    return "int8" if dtype == "int8" or (dtype == "auto" and kernels is not None) else "float"


def _tensor_dtype(dtype: AnyDtype, kernels: Kernels | None) -> Dtype:
    """Return the dtype of everything that is not computed in integers: that which the kernels read."""
    if dtype != "auto" and dtype != "int8":
        return dtype
    if kernels is None:
        return "auto"
    return "bfloat16" if kernels.layout.activations == torch.bfloat16 else "float32"


def _has_torch_int8(device: str) -> bool:
    return device == "cpu" and torch.cpu._is_vnni_supported()
