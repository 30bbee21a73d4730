"""The converted file, read field by field as in whisper.cpp's `whisper_model_load`."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bench.ggml import MAGIC, convert_to_ggml, header, openai_name, text_tokens

CONFIG = {
    "vocab_size": 5,
    "max_source_positions": 6,
    "d_model": 4,
    "encoder_attention_heads": 2,
    "encoder_layers": 1,
    "max_target_positions": 7,
    "decoder_attention_heads": 2,
    "decoder_layers": 3,
    "num_mel_bins": 80,
}
TOKENIZER = {
    "model": {"vocab": {"a": 0, "Ġb": 2, "Ã©": 1, "<|endoftext|>": 3}},
    "added_tokens": [{"id": 3, "content": "<|endoftext|>"}, {"id": 4, "content": "<|startoftranscript|>"}],
}
TENSORS = {
    "model.encoder.conv1.weight": np.arange(24, dtype=np.float16).reshape(4, 2, 3),
    "model.encoder.conv1.bias": np.arange(4, dtype=np.float16),
    "model.encoder.embed_positions.weight": np.ones((6, 4), np.float16),
    "model.decoder.layers.0.self_attn.q_proj.bias": np.arange(4, dtype=np.float16),
}


def test_the_header_has_the_sizes_in_order() -> None:
    assert struct.unpack("<12i", header(CONFIG)) == (MAGIC, 5, 6, 4, 2, 1, 7, 4, 2, 3, 80, 1)
    assert header(CONFIG)[:4] == b"lmgg"


def test_text_tokens_are_bytes_in_the_order_of_ids() -> None:
    assert list(text_tokens(TOKENIZER)) == [b"a", "é".encode(), b" b"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.encoder.layers.0.self_attn.k_proj.weight", "encoder.blocks.0.attn.key.weight"),
        ("model.decoder.layers.3.encoder_attn.out_proj.bias", "decoder.blocks.3.cross_attn.out.bias"),
        ("model.decoder.layers.3.encoder_attn_layer_norm.bias", "decoder.blocks.3.cross_attn_ln.bias"),
        ("model.decoder.layers.3.self_attn_layer_norm.bias", "decoder.blocks.3.attn_ln.bias"),
        ("model.encoder.layers.11.final_layer_norm.weight", "encoder.blocks.11.mlp_ln.weight"),
        ("model.encoder.layers.11.fc1.weight", "encoder.blocks.11.mlp.0.weight"),
        ("model.encoder.layers.11.fc2.weight", "encoder.blocks.11.mlp.2.weight"),
        ("model.encoder.layer_norm.weight", "encoder.ln_post.weight"),
        ("model.decoder.layer_norm.weight", "decoder.ln.weight"),
        ("model.encoder.embed_positions.weight", "encoder.positional_embedding"),
        ("model.decoder.embed_positions.weight", "decoder.positional_embedding"),
        ("model.decoder.embed_tokens.weight", "decoder.token_embedding.weight"),
        ("model.encoder.conv2.bias", "encoder.conv2.bias"),
    ],
)
def test_tensors_have_openai_whispers_names(name: str, expected: str) -> None:
    assert openai_name(name) == expected


def test_a_converted_checkpoint_has_all_parts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    save_file(TENSORS, tmp_path / "model.safetensors")
    convert_to_ggml(tmp_path, tmp_path / "model.bin")

    file = io.BytesIO((tmp_path / "model.bin").read_bytes())
    file.seek(12 * 4)
    assert _integers(file, 2) == (80, 201)
    file.seek(80 * 201 * 4, io.SEEK_CUR)
    (n_tokens,) = _integers(file, 1)
    assert [file.read(*_integers(file, 1)) for _ in range(n_tokens)] == [b"a", "é".encode(), b" b"]
    read = dict(_read_tensor(file) for _ in TENSORS)
    assert not file.read()
    assert {name: (array.dtype.str, array.shape) for name, array in read.items()} == {
        "encoder.conv1.weight": ("<f2", (4, 2, 3)),
        "encoder.conv1.bias": ("<f4", (4, 1)),
        "encoder.positional_embedding": ("<f4", (6, 4)),
        "decoder.blocks.0.attn.query.bias": ("<f4", (4,)),
    }
    assert np.array_equal(read["encoder.conv1.weight"], TENSORS["model.encoder.conv1.weight"])


def _integers(file: io.BytesIO, n: int) -> tuple[int, ...]:
    return struct.unpack(f"<{n}i", file.read(4 * n))


def _read_tensor(file: io.BytesIO) -> tuple[str, np.ndarray]:
    n_dims, name_length, is_f16 = _integers(file, 3)
    shape = tuple(reversed(_integers(file, n_dims)))
    name = file.read(name_length).decode()
    dtype = np.dtype("<f2" if is_f16 else "<f4")
    return name, np.frombuffer(file.read(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)
