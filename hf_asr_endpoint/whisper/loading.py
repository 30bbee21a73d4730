"""Loads a transformers directory as the engine's model, in the arithmetic that is the fastest on this device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.types import ModelInfo
from hf_asr_endpoint.whisper.checkpoint.failures import translate_read_errors
from hf_asr_endpoint.whisper.checkpoint.loader import Device, Dtype, load_checkpoint
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.kernels import Kernels, find_kernels
from hf_asr_endpoint.whisper.model.linear import Arithmetic
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from hf_asr_endpoint.whisper.threads import use_one_core


def load_speech_model(
    directory: Path, *, device: Device, dtype: Dtype | Literal["int8"], slots: int, cache_dir: Path | None = None
) -> tuple[WhisperSpeechModel, WhisperTokenizer, ModelInfo]:
    """Load a transformers directory for the engine.

    dtype: "int8" computes linear layers in 8-bit integers and everything else in bfloat16, or in float32 where
    bfloat16 is slow. "auto" is "int8" where our kernel for it is the fastest; elsewhere `load_checkpoint` chooses.
    cache_dir: keeps compiled kernels; None: they are compiled at every start.
    Raises ModelUnavailable.
    """
    use_one_core()
    checkpoint = load_checkpoint(directory, device=device, dtype="auto" if dtype == "int8" else dtype)
    if dtype == "int8" and not (checkpoint.info.device == "cpu" and torch.cpu._is_vnni_supported()):
        raise ModelUnavailable("dtype int8 needs a CPU with VNNI instructions; choose another --dtype")
    tensors = checkpoint.tensors
    kernels = find_kernels(device=tensors.device, dtype=tensors.dtype, cache_dir=cache_dir)
    arithmetic = _choose_arithmetic(dtype, kernels)
    with translate_read_errors(f"the model in {directory}"):  # Packing reads the weights from the files.
        model = WhisperSpeechModel(checkpoint, slots=slots, arithmetic=arithmetic, kernels=kernels)
    info = replace(checkpoint.info, dtype="int8") if arithmetic == "int8" else checkpoint.info
    return model, checkpoint.tokenizer, info


def _choose_arithmetic(dtype: str, kernels: Kernels | None) -> Arithmetic:
    is_fastest = kernels is not None and kernels.prefer_tiles
    return "int8" if dtype == "int8" or (dtype == "auto" and is_fastest) else "float"
