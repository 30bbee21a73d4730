"""Opens a model directory in transformers' format: configurations, tensors and tokenizer.

Chooses the device and the precision. Tensors are described here and read later, when layers are built of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.types import ModelInfo
from hf_asr_endpoint.units import MAX_TARGET_POSITIONS, N_POSITIONS
from hf_asr_endpoint.whisper.checkpoint.config import (
    GenerationConfig,
    ModelConfig,
    read_generation_config,
    read_model_config,
    read_model_type,
)
from hf_asr_endpoint.whisper.checkpoint.failures import translate_read_errors
from hf_asr_endpoint.whisper.checkpoint.tensor_files import stored_tensors
from hf_asr_endpoint.whisper.checkpoint.tensors import Tensors, select_tensors
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer

Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperCheckpoint:
    """An opened model: its dimensions, its decoding rules, its tensors and its tokenizer."""

    config: ModelConfig
    generation_config: GenerationConfig
    tensors: Tensors
    tokenizer: WhisperTokenizer
    is_multilingual: bool

    @property
    def n_mels(self) -> int:
        return self.config.num_mel_bins

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            device=self.tensors.device.type,
            dtype=str(self.tensors.dtype).removeprefix("torch."),
            is_multilingual=self.is_multilingual,
            n_mels=self.n_mels,
            languages=tuple(self.tokenizer.language_tokens) if self.is_multilingual else ("en",),
        )


def explain_unsupported(directory: Path) -> str | None:
    """Return why the layers cannot compute a directory's model; None where they can. Reads config.json only.

    Raises ModelUnavailable when it cannot be read.
    """
    with translate_read_errors(f"the model in {directory}"):
        model_type = read_model_type(directory)
        if model_type != "whisper":
            return f"it is of type {model_type!r:.100}, not whisper"
        return _obstacle(read_model_config(directory))


def load_checkpoint(
    directory: Path,
    *,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> WhisperCheckpoint:
    """Open `directory`; each read of a tensor converts it to `dtype` on `device`.

    device "auto": CUDA, else MPS, else the CPU. dtype "auto": float16 on CUDA, float32 with MPS; on the CPU
    bfloat16 if the processor multiplies it, else float32.
    Raises ModelUnavailable when the device is not available or the files cannot be read.
    """
    chosen_device = choose_device(device)
    with translate_read_errors(f"the model in {directory}"):
        config = read_model_config(directory)
        if (obstacle := explain_unsupported(directory)) is not None:
            raise ModelUnavailable(f"the native engine cannot compute the model in {directory}: {obstacle}")
        stored = select_tensors(stored_tensors(directory), config)
        generation_config = read_generation_config(directory)
        tokenizer = WhisperTokenizer.from_directory(directory)
        _check_tokenizer(tokenizer, config)
    return WhisperCheckpoint(
        config=config,
        generation_config=generation_config,
        tensors=Tensors(stored, device=chosen_device, dtype=_choose_dtype(dtype, chosen_device)),
        tokenizer=tokenizer,
        is_multilingual=config.is_multilingual,
    )


def _obstacle(config: ModelConfig) -> str | None:
    """Return what is not as the layers need it."""
    if config.is_quantized:
        return "its weights are quantized; allowed: floating-point weights"
    if config.activation_function != "gelu":
        return f"its activation is {config.activation_function!r:.100}; allowed: 'gelu'"
    for name, allowed in (
        ("max_source_positions", N_POSITIONS),
        ("max_target_positions", MAX_TARGET_POSITIONS),
    ):
        if (given := getattr(config, name)) != allowed:
            return f"it has {name} = {given}; allowed: {allowed}, as in all Whisper models"
    for stack in ("encoder", "decoder"):
        if config.d_model % (n_heads := getattr(config, f"{stack}_attention_heads")):
            return (
                f"it has d_model = {config.d_model} and {n_heads} attention heads in its {stack}; "
                "allowed: a d_model that is a multiple of the number of heads"
            )
    return None


def _check_tokenizer(tokenizer: WhisperTokenizer, config: ModelConfig) -> None:
    """Raise ValueError for the tokenizer of another model.

    That includes the empty one that transformers creates for a directory without a vocabulary.
    """
    if tokenizer.eot != config.eos_token_id:
        raise ValueError(
            f"<|endoftext|> is token {tokenizer.eot} in the tokenizer and {config.eos_token_id} in config.json"
        )


def available_devices() -> list[str]:
    """Return the devices that torch has here, the one that "auto" means first."""
    is_available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    return [name for name in is_available if is_available[name]]


def count_cuda_devices() -> int:
    """Return how many GPUs torch has here. Of a GPU's MIG instances, CUDA shows a process one."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def choose_device(device: Device) -> torch.device:
    """Return `device`, or for "auto" the first available of CUDA, MPS and the CPU. Raises ModelUnavailable."""
    available = available_devices()
    if device == "auto":
        return torch.device(available[0])
    if device not in available:
        raise ModelUnavailable(f"device {device!r} is not available; allowed: {', '.join(available)}")
    return torch.device(device)


def _choose_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """Return `dtype`, or for "auto" the fastest one that keeps the model's accuracy on `device`."""
    if dtype != "auto":
        chosen: torch.dtype = getattr(torch, dtype)
        return chosen
    if device.type == "cuda":
        return torch.float16
    if device.type == "mps":  # In half precision, some operators have crashed there; nobody has measured ours.
        return torch.float32
    return torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32


def _cpu_multiplies_bfloat16() -> bool:
    """Return whether the processor has instructions for it; without them bfloat16 is slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
