"""Converts a Whisper model from CTranslate2's format to a directory in transformers' format.

The result is a complete checkpoint for `from_pretrained`; the weights keep their precision. Knows the tensors'
names and the configuration values of both formats; the bytes of `model.bin` are read in `ctranslate2.py`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.types import TASKS
from hf_asr_endpoint.units import (
    HOP_LENGTH,
    MAX_TARGET_POSITIONS,
    N_FFT,
    N_FRAMES,
    N_SAMPLES,
    N_TIMESTAMPS,
    SAMPLE_RATE,
    TIME_PRECISION_S,
    WINDOW_S,
)
from hf_asr_endpoint.whisper.checkpoint.config import MIN_MULTILINGUAL_VOCAB_SIZE
from hf_asr_endpoint.whisper.checkpoint.failures import translate_read_errors
from hf_asr_endpoint.whisper.checkpoint.weights.ctranslate2 import Array, CTranslate2Model, read_model

CONVERSION_VERSION = 1
"""Part of the names of converted directories. Increase it whenever this file writes something different, so that
older conversions are not used any more."""

MAX_INITIAL_TIMESTAMP_INDEX = 50  # timestamp tokens: the first one is at most 1.00 s (openai/whisper)

Json = dict[str, Any]


def convert_directory(source: Path, target: Path) -> None:
    """Convert the CTranslate2 directory `source` into the empty directory `target`.

    Raises ModelUnavailable when `source` cannot be read or is damaged, OSError when `target` cannot be written.
    """
    config, tokenizer = read_json(source / "config.json"), read_json(source / "tokenizer.json")
    weights = source / "model.bin"
    with translate_read_errors(str(weights)):
        if not weights.stat().st_size:  # An empty file cannot be mapped.
            raise ModelUnavailable(f"{weights} is empty; copy or download it again")
        data = np.memmap(weights, dtype=np.uint8, mode="r")
    _write(data.data, config=config, tokenizer=tokenizer, origin=str(weights), target=target)


def convert_bytes(weights: bytes, *, config: Json, tokenizer: Json, origin: str, target: Path) -> None:
    """Convert the content of a `model.bin` and of its two JSON files into the empty directory `target`.

    origin: where the weights come from, for error messages. Raises as `convert_directory` does.
    """
    _write(memoryview(weights), config=config, tokenizer=tokenizer, origin=origin, target=target)


def read_json(path: Path) -> Json:
    """Read a file that contains a JSON object. Raises ModelUnavailable."""
    with translate_read_errors(str(path)):
        content = path.read_bytes()
    try:
        value = json.loads(content)
    except ValueError as exc:
        raise ModelUnavailable(f"{path} is not valid JSON ({exc}); copy or download it again") from exc
    if not isinstance(value, dict):
        raise ModelUnavailable(f"{path} is not a JSON object; copy or download it again")
    return value


def _write(weights: memoryview, *, config: Json, tokenizer: Json, origin: str, target: Path) -> None:
    model = read_model(weights, origin=origin)
    with translate_read_errors(f"{origin}, with the JSON files next to it,"):
        tensors = {name: np.ascontiguousarray(array) for name, array in _tensors(model)}
        _add_timestamp_tokens(tokenizer)
        files = {
            "config.json": _model_config(model, tokenizer),
            "generation_config.json": _generation_config(model, config, tokenizer),
            "preprocessor_config.json": _preprocessor_config(model),
            "tokenizer.json": tokenizer,
            "tokenizer_config.json": _tokenizer_config(tokenizer),
        }
    try:
        save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as exc:
        raise OSError(str(exc)) from exc  # For example a full disk, which is an OSError for every other file.
    for name, content in files.items():
        (target / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    # safetensors makes its file readable by this user only, but the cache may be shared.
    shutil.copymode(target / "config.json", target / "model.safetensors")


def _tensors(model: CTranslate2Model) -> Iterator[tuple[str, Array]]:
    """Yield the state dict of `WhisperForConditionalGeneration`."""
    variables = model.variables
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            yield f"model.encoder.{conv}.{part}", variables[f"encoder/{conv}/{part}"]
    yield "model.decoder.embed_tokens.weight", variables["decoder/embeddings/weight"]
    for stack in ("encoder", "decoder"):
        yield f"model.{stack}.embed_positions.weight", variables[f"{stack}/position_encodings/encodings"]
        yield from _layer_norm(variables, f"{stack}/layer_norm", f"model.{stack}.layer_norm")
        for i in range(model.n_layers(stack)):
            yield from _layer(variables, f"{stack}/layer_{i}", f"model.{stack}.layers.{i}")


def _layer(variables: dict[str, Array], source: str, target: str) -> Iterator[tuple[str, Array]]:
    self_attention = f"{source}/self_attention"
    yield from _layer_norm(variables, f"{self_attention}/layer_norm", f"{target}.self_attn_layer_norm")
    yield from _projections(
        variables, f"{self_attention}/linear_0", f"{target}.self_attn", ("q_proj", "k_proj", "v_proj")
    )
    yield from _projections(variables, f"{self_attention}/linear_1", f"{target}.self_attn", ("out_proj",))
    cross_attention = f"{source}/attention"
    if f"{cross_attention}/linear_0/weight" in variables:
        yield from _layer_norm(variables, f"{cross_attention}/layer_norm", f"{target}.encoder_attn_layer_norm")
        yield from _projections(variables, f"{cross_attention}/linear_0", f"{target}.encoder_attn", ("q_proj",))
        yield from _projections(
            variables, f"{cross_attention}/linear_1", f"{target}.encoder_attn", ("k_proj", "v_proj")
        )
        yield from _projections(variables, f"{cross_attention}/linear_2", f"{target}.encoder_attn", ("out_proj",))
    yield from _layer_norm(variables, f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")
    yield from _projections(variables, f"{source}/ffn/linear_0", target, ("fc1",))
    yield from _projections(variables, f"{source}/ffn/linear_1", target, ("fc2",))


def _layer_norm(variables: dict[str, Array], source: str, target: str) -> Iterator[tuple[str, Array]]:
    yield f"{target}.weight", variables[f"{source}/gamma"]
    yield f"{target}.bias", variables[f"{source}/beta"]


def _projections(
    variables: dict[str, Array], source: str, target: str, projections: tuple[str, ...]
) -> Iterator[tuple[str, Array]]:
    """Split a fused linear layer, whose rows are those of `projections` one after another."""
    for part in ("weight", "bias"):
        for name, rows in zip(projections, np.split(variables[f"{source}/{part}"], len(projections)), strict=True):
            if (name, part) != ("k_proj", "bias"):  # In Whisper it does not exist; CTranslate2 stores zeros.
                yield f"{target}.{name}.{part}", rows


def _model_config(model: CTranslate2Model, tokenizer: Json) -> Json:
    variables = model.variables
    vocab_size, d_model = variables["decoder/embeddings/weight"].shape
    ids = _special_ids(tokenizer)
    config: Json = {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "dtype": str(variables["decoder/embeddings/weight"].dtype),
        "vocab_size": vocab_size,
        "d_model": d_model,
        "num_mel_bins": variables["encoder/conv1/weight"].shape[1],
        "max_source_positions": len(variables["encoder/position_encodings/encodings"]),
        "max_target_positions": len(variables["decoder/position_encodings/encodings"]),
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|endoftext|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
    }
    for stack in ("encoder", "decoder"):
        config[f"{stack}_layers"] = model.n_layers(stack)
        config[f"{stack}_attention_heads"] = int(variables[f"{stack}/num_heads"])
        config[f"{stack}_ffn_dim"] = len(variables[f"{stack}/layer_0/ffn/linear_0/weight"])
    return config


def _generation_config(model: CTranslate2Model, config: Json, tokenizer: Json) -> Json:
    ids = _special_ids(tokenizer)
    generation: Json = {
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|endoftext|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "max_initial_timestamp_index": MAX_INITIAL_TIMESTAMP_INDEX,
        "max_length": MAX_TARGET_POSITIONS,
        "return_timestamps": False,
        "suppress_tokens": config["suppress_ids"],
        "begin_suppress_tokens": config["suppress_ids_begin"],
        "is_multilingual": _is_multilingual(model),
    }
    if "alignment_heads" in config:
        generation["alignment_heads"] = config["alignment_heads"]
    if generation["is_multilingual"]:
        tasks = {task: ids[f"<|{task}|>"] for task in TASKS}
        generation["task_to_id"] = tasks
        generation["lang_to_id"] = {
            f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGE_NAMES if f"<|{code}|>" in ids
        }
        generation["forced_decoder_ids"] = [[1, None], [2, tasks["transcribe"]]]
    return generation


def _is_multilingual(model: CTranslate2Model) -> bool:
    return len(model.variables["decoder/embeddings/weight"]) >= MIN_MULTILINGUAL_VOCAB_SIZE


def _special_ids(tokenizer: Json) -> dict[str, int]:
    return {token["content"]: token["id"] for token in tokenizer["added_tokens"]}


def _add_timestamp_tokens(tokenizer: Json) -> None:
    """Add <|0.00|> to <|30.00|>, which CTranslate2's tokenizer files lack, after <|notimestamps|>."""
    ids = _special_ids(tokenizer)
    if "<|0.00|>" in ids:
        return
    begin = ids["<|notimestamps|>"] + 1
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    tokenizer["added_tokens"] += [
        {"id": begin + i, "content": f"<|{i * TIME_PRECISION_S:.2f}|>", **flags} for i in range(N_TIMESTAMPS)
    ]


def _preprocessor_config(model: CTranslate2Model) -> Json:
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": model.variables["encoder/conv1/weight"].shape[1],
        "sampling_rate": SAMPLE_RATE,
        "hop_length": HOP_LENGTH,
        "n_fft": N_FFT,
        "chunk_length": WINDOW_S,
        "n_samples": N_SAMPLES,
        "nb_max_frames": N_FRAMES,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


def _tokenizer_config(tokenizer: Json) -> Json:
    end = "<|endoftext|>"
    special = sorted((token["id"], token["content"]) for token in tokenizer["added_tokens"] if token["special"])
    return {
        "tokenizer_class": "WhisperTokenizer",
        "bos_token": end,
        "eos_token": end,
        "pad_token": end,
        "unk_token": end,
        # transformers takes the token after the last of these for the first timestamp token.
        "additional_special_tokens": [content for _, content in special],
        "model_max_length": 1024,
    }
