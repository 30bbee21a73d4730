"""Converts a Whisper directory in transformers' format to a float16 file for whisper.cpp.

The format is that of whisper.cpp's `models/convert-pt-to-ggml.py`: magic number and sizes, mel filters, text
tokens as bytes, then every tensor under openai/whisper's name with its dimensions in reverse order. Numbers are
little-endian and have 32 bits.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import librosa
import numpy as np
from safetensors.numpy import load_file

from hf_asr_endpoint.units import N_FFT, SAMPLE_RATE

MAGIC = 0x67676D6C
F32, F16 = 0, 1
END_OF_TEXT = "<|endoftext|>"  # the first token that is not text

_WHOLE_NAMES = {
    "encoder.layer_norm": "encoder.ln_post",
    "decoder.layer_norm": "decoder.ln",
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens": "decoder.token_embedding",
}
_PARTS = {
    "encoder_attn_layer_norm": "cross_attn_ln",
    "self_attn_layer_norm": "attn_ln",
    "final_layer_norm": "mlp_ln",
    "encoder_attn": "cross_attn",
    "self_attn": "attn",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "out_proj": "out",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "layers": "blocks",
}


def convert_to_ggml(directory: Path, target: Path) -> None:
    """Write the checkpoint in `directory` (one model.safetensors and its configuration) to the file `target`."""
    config = json.loads((directory / "config.json").read_bytes())
    with target.open("wb") as file:
        file.write(header(config))
        _write_mel_filters(file, n_mels=config["num_mel_bins"])
        _write_tokens(file, json.loads((directory / "tokenizer.json").read_bytes()))
        for name, tensor in load_file(directory / "model.safetensors").items():
            if name != "proj_out.weight":  # It is equal to the token embedding.
                _write_tensor(file, openai_name(name), tensor)


def header(config: Mapping[str, Any]) -> bytes:
    """Return the magic number and the model's sizes."""
    return struct.pack(
        "<12i",
        MAGIC,
        config["vocab_size"],
        config["max_source_positions"],
        config["d_model"],
        config["encoder_attention_heads"],
        config["encoder_layers"],
        config["max_target_positions"],
        config["d_model"],
        config["decoder_attention_heads"],
        config["decoder_layers"],
        config["num_mel_bins"],
        F16,
    )


def text_tokens(tokenizer: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the bytes of every text token, in the order of their ids."""
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    byte_of = _byte_of_character()
    for token, token_id in sorted(vocabulary.items(), key=lambda item: item[1]):
        if token_id < special[END_OF_TEXT]:
            yield bytes(byte_of[character] for character in token)


def openai_name(name: str) -> str:
    """Return openai/whisper's name for a tensor of transformers'."""
    name = name.removeprefix("model.")
    for ours, theirs in _WHOLE_NAMES.items():
        if name.startswith(ours):
            return name.replace(ours, theirs)
    for ours, theirs in _PARTS.items():
        name = name.replace(f".{ours}.", f".{theirs}.")
    return name


def _write_mel_filters(file: BinaryIO, *, n_mels: int) -> None:
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=n_mels)  # (n_mels, N_FFT // 2 + 1)
    file.write(struct.pack("<2i", *filters.shape))
    file.write(filters.astype("<f4").tobytes())


def _write_tokens(file: BinaryIO, tokenizer: Mapping[str, Any]) -> None:
    tokens = list(text_tokens(tokenizer))
    file.write(struct.pack("<i", len(tokens)))
    for token in tokens:
        file.write(struct.pack("<i", len(token)) + token)


def _write_tensor(file: BinaryIO, name: str, tensor: np.ndarray[Any, Any]) -> None:
    if name.startswith("encoder.conv") and tensor.ndim == 1:
        tensor = tensor.reshape(-1, 1)  # whisper.cpp adds these biases to (n_channels, n_frames).
    is_f16 = name.endswith(".weight") and tensor.ndim > 1
    encoded = name.encode()
    file.write(struct.pack("<3i", tensor.ndim, len(encoded), F16 if is_f16 else F32))
    file.write(struct.pack(f"<{tensor.ndim}i", *reversed(tensor.shape)))
    file.write(encoded)
    file.write(tensor.astype("<f2" if is_f16 else "<f4").tobytes())


def _byte_of_character() -> dict[str, int]:
    """Return the byte of each character in a byte-level vocabulary: the inverse of GPT-2's `bytes_to_unicode`."""
    printable = {byte for byte in range(256) if chr(byte).isprintable() and chr(byte) != " "}
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(hidden)}
