"""Opens a transformers Whisper directory: its configurations, its tensors, its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import transformers
from transformers import GenerationConfig, WhisperConfig

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.types import ModelInfo
from hf_asr_endpoint.whisper.tensor_files import stored_tensors
from hf_asr_endpoint.whisper.tensors import Tensors, select_tensors
from hf_asr_endpoint.whisper.tokenizer import WhisperTokenizer

Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]

N_MULTILINGUAL_VOCABULARY = 51_865  # tokens; an English-only vocabulary is smaller (openai/whisper)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperCheckpoint:
    """A model's dimensions, its way of generating, its tensors, and what its tokens mean."""

    config: WhisperConfig
    generation_config: GenerationConfig
    tensors: Tensors
    tokenizer: WhisperTokenizer
    is_multilingual: bool

    @property
    def n_mels(self) -> int:
        n_mels: int = self.config.num_mel_bins
        return n_mels

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
    transformers.utils.logging.set_verbosity_error()
    torch_device = _choose_device(device)
    try:
        config = WhisperConfig.from_pretrained(directory, local_files_only=True)
        _check_config(config, directory)
        stored = select_tensors(stored_tensors(directory), config)
        generation_config = _generation_config(directory)
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
    _complete_generation_config(generation_config, config, tokenizer, is_multilingual=is_multilingual)
    return WhisperCheckpoint(
        config=config,
        generation_config=generation_config,
        tensors=Tensors(stored, device=torch_device, dtype=_choose_dtype(dtype, torch_device)),
        tokenizer=tokenizer,
        is_multilingual=is_multilingual,
    )


def _check_config(config: WhisperConfig, directory: Path) -> None:
    """Refuse what the layers cannot compute."""
    if getattr(config, "quantization_config", None):
        raise ModelUnavailable(f"the weights in {directory} are quantised; allowed: floating-point weights")
    if config.activation_function != "gelu":
        raise ModelUnavailable(
            f"the model in {directory} has the activation {config.activation_function!r}; allowed: 'gelu'"
        )
    for stack in ("encoder", "decoder"):
        if config.d_model % (n_heads := getattr(config, f"{stack}_attention_heads")):
            raise ModelUnavailable(
                f"the model in {directory} has a d_model of {config.d_model} for the {n_heads} attention heads of "
                f"its {stack}; allowed: a multiple of them"
            )


def _generation_config(directory: Path) -> GenerationConfig:
    """Read generation_config.json or, for want of one, what old checkpoints have of it in config.json."""
    if (directory / "generation_config.json").is_file():
        return GenerationConfig.from_pretrained(directory, local_files_only=True)
    return GenerationConfig.from_pretrained(
        directory, config_file_name="config.json", local_files_only=True, _from_model_config=True
    )


def _check_tokenizer(tokenizer: WhisperTokenizer, config: WhisperConfig) -> None:
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


def _complete_generation_config(
    generation_config: GenerationConfig,
    config: WhisperConfig,
    tokenizer: WhisperTokenizer,
    *,
    is_multilingual: bool,
) -> None:
    """Add what fine-tuned checkpoints often lack, so that languages, tasks and timestamps work on them too."""
    missing: dict[str, object] = {
        "is_multilingual": is_multilingual,
        "no_timestamps_token_id": tokenizer.no_timestamps,
        "prev_sot_token_id": tokenizer.sot_prev,
        "decoder_start_token_id": tokenizer.sot,
        "eos_token_id": tokenizer.eot,
        "pad_token_id": tokenizer.eot,
        "max_length": config.max_target_positions,  # The library's own default is 20 tokens.
    }
    if is_multilingual:
        missing["task_to_id"] = dict(tokenizer.task_tokens)
        missing["lang_to_id"] = {f"<|{code}|>": token for code, token in tokenizer.language_tokens.items()}
    for name, value in missing.items():
        if getattr(generation_config, name, None) is None:
            setattr(generation_config, name, value)
    # The prompt is always given in full (language, task), so these old instructions only cause warnings.
    setattr(generation_config, "forced_decoder_ids", None)  # noqa: B010 # No type declares it.
