"""Writes a checkpoint with random weights in transformers' format, one tensor after another."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.shapes.sizes import Size
from hf_asr_endpoint.whisper.checkpoint.config import MIN_MULTILINGUAL_VOCAB_SIZE
from hf_asr_endpoint.whisper.checkpoint.tensors import EMBEDDINGS, OUTPUT, expected_shapes

COPIED = ("generation_config.json", "preprocessor_config.json", "tokenizer_config.json")
EMBEDDING_DEVIATION = 0.02
DTYPES = {
    "float16": ("F16", torch.float16),
    "bfloat16": ("BF16", torch.bfloat16),
    "float32": ("F32", torch.float32),
}
"""By name: safetensors' name and torch's."""

Shape = tuple[int, ...]


def write_checkpoint(
    directory: Path, size: Size, *, tokenizer_from: Path, dtype: str = "float16", n_shards: int = 1
) -> None:
    """Write a checkpoint that this project and transformers can load.

    directory: exists. tokenizer_from: the checkpoint of a multilingual model, whose vocabulary is extended to the
    size's. dtype: of the weights, see DTYPES. n_shards: files that the weights are spread over.
    """
    shapes = {name: shape for name, shape in expected_shapes(size.config).items() if name != OUTPUT}
    names = list(shapes)
    if n_shards == 1:
        _write_safetensors(directory / "model.safetensors", shapes, dtype=dtype)
    else:
        files: dict[str, list[str]] = {}
        for index in range(n_shards):
            file = f"model-{index + 1:05}-of-{n_shards:05}.safetensors"
            files[file] = names[index::n_shards]
            _write_safetensors(directory / file, {name: shapes[name] for name in files[file]}, dtype=dtype)
        weight_map = {name: file for file, some in files.items() for name in some}
        _write_json(directory / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    _write_json(directory / "config.json", _config(size, dtype=dtype))
    for name in COPIED:
        (directory / name).write_bytes((tokenizer_from / name).read_bytes())
    tokenizer = json.loads((tokenizer_from / "tokenizer.json").read_bytes())
    _add_tokens(tokenizer, n_added=size.config.vocab_size - MIN_MULTILINGUAL_VOCAB_SIZE)
    _write_json(directory / "tokenizer.json", tokenizer)


def random_tensor(name: str, shape: Shape) -> Tensor:
    """Return random weights, float32, which depend only on the name. Products keep their inputs' magnitude."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if name.endswith("norm.weight"):
        return torch.ones(shape)
    tensor = torch.randn(shape, generator=generator)
    if name == EMBEDDINGS or len(shape) == 1 or "positions" in name:
        return tensor.mul_(EMBEDDING_DEVIATION)
    return tensor.mul_(math.prod(shape[1:]) ** -0.5)


def _write_safetensors(path: Path, shapes: Mapping[str, Shape], *, dtype: str) -> None:
    """Write tensors one after another, as https://github.com/huggingface/safetensors#format says."""
    stored_name, torch_dtype = DTYPES[dtype]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * torch_dtype.itemsize
        header[name] = {"dtype": stored_name, "shape": shape, "data_offsets": (begin, end)}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name, shape in shapes.items():
            file.write(random_tensor(name, shape).to(torch_dtype).view(torch.uint8).numpy().data)


def _config(size: Size, *, dtype: str) -> dict[str, Any]:
    eot = size.config.eos_token_id
    return {
        **asdict(size.config),
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "dtype": dtype,
        "bos_token_id": eot,
        "pad_token_id": eot,
        "decoder_start_token_id": eot + 1,
        "is_encoder_decoder": True,
    }


def _add_tokens(tokenizer: dict[str, Any], *, n_added: int) -> None:
    """Insert languages before the tasks, as large-v3 did with "yue"; later tokens move up."""
    added: Sequence[dict[str, Any]] = tokenizer["added_tokens"]
    first = next(token["id"] for token in added if token["content"] == "<|translate|>")
    later: Iterable[dict[str, Any]] = [token for token in added if token["id"] >= first]
    template = dict(next(token for token in added if token["id"] == first))
    for token in later:
        token["id"] += n_added
    names = ["yue", *(f"x{index}" for index in range(1, n_added))]
    languages = [template | {"id": first + i, "content": f"<|{names[i]}|>"} for i in range(n_added)]
    tokenizer["added_tokens"] = sorted([*added, *languages], key=lambda token: token["id"])


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
