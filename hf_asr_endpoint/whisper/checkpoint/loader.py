"""Opens a transformers Whisper directory: its configurations, its tensors, its tokenizer."""

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
)
from hf_asr_endpoint.whisper.checkpoint.tensor_files import stored_tensors
from hf_asr_endpoint.whisper.checkpoint.tensors import Tensors, select_tensors
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer

Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]

N_MULTILINGUAL_VOCABULARY = 51_865  # tokens; an English-only vocabulary is smaller (openai/whisper)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperCheckpoint:
    """A model's dimensions, its way of generating, its tensors, and what its tokens mean."""

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
        )


def load_checkpoint(
    directory: Path,
    *,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> WhisperCheckpoint:
    """Open `directory`; its tensors are read as they are asked for, in `dtype` onto `device`.

    device "auto": CUDA, else MPS, else the CPU. dtype "auto": float16 on CUDA and MPS; on the CPU
    bfloat16 where the processor computes with it, else float32.
    Raises ModelUnavailable when the device is not there or the files cannot be loaded.
    """
    torch_device = _choose_device(device)
    try:
        config = read_model_config(directory)
        _check_config(config, directory)
        stored = select_tensors(stored_tensors(directory), config)
        generation_config = read_generation_config(directory)
        tokenizer = WhisperTokenizer.from_directory(directory)
        _check_tokenizer(tokenizer, config)
    except ModelUnavailable:
        raise
    except Exception as exc:  # A damaged file fails in any of five libraries, each with errors of its own.
        reason = f"{type(exc).__name__}: {exc}".splitlines()[0]
        raise ModelUnavailable(
            f"the model in {directory} cannot be loaded ({reason}); copy or download it again"
        ) from exc
    is_multilingual = config.vocab_size >= N_MULTILINGUAL_VOCABULARY
    return WhisperCheckpoint(
        config=config,
        generation_config=generation_config,
        tensors=Tensors(stored, device=torch_device, dtype=_choose_dtype(dtype, torch_device)),
        tokenizer=tokenizer,
        is_multilingual=is_multilingual,
    )


def _check_config(config: ModelConfig, directory: Path) -> None:
    """Refuse what the layers cannot compute."""
    if config.is_quantised:
        raise ModelUnavailable(f"the weights in {directory} are quantised; allowed: floating-point weights")
    if config.activation_function != "gelu":
        raise ModelUnavailable(
            f"the model in {directory} has the activation {config.activation_function!r}; allowed: 'gelu'"
        )
    for side, given, expected in (
        ("source", config.max_source_positions, N_POSITIONS),
        ("target", config.max_target_positions, MAX_TARGET_POSITIONS),
    ):
        if given != expected:
            raise ModelUnavailable(
                f"the model in {directory} has max_{side}_positions of {given}; allowed: {expected}, as in every "
                "Whisper"
            )
    for stack in ("encoder", "decoder"):
        if config.d_model % (n_heads := getattr(config, f"{stack}_attention_heads")):
            raise ModelUnavailable(
                f"the model in {directory} has a d_model of {config.d_model} for the {n_heads} attention heads of "
                f"its {stack}; allowed: a multiple of them"
            )


def _check_tokenizer(tokenizer: WhisperTokenizer, config: ModelConfig) -> None:
    """Refuse another model's tokenizer, and the empty one that transformers makes up for want of a vocabulary."""
    expected = config.eos_token_id
    if tokenizer.eot != expected:
        raise ValueError(f"<|endoftext|> is {tokenizer.eot} in its tokenizer and {expected} in its config.json")


def _choose_device(device: Device) -> torch.device:
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if device == "auto":
        return torch.device(available[0])
    if device not in available:
        raise ModelUnavailable(f"device {device!r} is not there; available: {', '.join(available)}")
    return torch.device(device)


def _choose_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        if device.type != "cpu":
            return torch.float16
        return torch.bfloat16 if _computes_in_bfloat16() else torch.float32
    chosen: torch.dtype = getattr(torch, dtype)
    return chosen


def _computes_in_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 itself; emulated, it is slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
