"""Reads a checkpoint's config.json and generation_config.json: the model's dimensions, and rules about its tokens.

Gives the same values as transformers' WhisperConfig and GenerationConfig, whose import takes 0.8 s and 20 MB.
Knows nothing of tensors or of the tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

MIN_MULTILINGUAL_VOCAB_SIZE = 51_865  # tokens; English-only vocabularies are smaller (openai/whisper, `model.py`)

Json = Mapping[str, Any]

_ALIASES = {
    "hidden_size": "d_model",
    "num_hidden_layers": "encoder_layers",
    "num_attention_heads": "encoder_attention_heads",
}
"""Names that transformers accepts for every kind of model. Whisper's own names take precedence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The values of config.json that the forward pass depends on. The defaults are those of whisper-tiny."""

    vocab_size: int = 51_865
    d_model: int = 384
    num_mel_bins: int = 80
    max_source_positions: int = 1_500
    max_target_positions: int = 448
    encoder_layers: int = 4
    encoder_attention_heads: int = 6
    encoder_ffn_dim: int = 1_536
    decoder_layers: int = 4
    decoder_attention_heads: int = 6
    decoder_ffn_dim: int = 1_536
    eos_token_id: int = 50_256
    tie_word_embeddings: bool = True
    activation_function: str = "gelu"
    is_quantized: bool = False

    @property
    def is_multilingual(self) -> bool:
        # English-only tokenizers list the language tokens too, so only the size of the vocabulary differs.
        return self.vocab_size >= MIN_MULTILINGUAL_VOCAB_SIZE

    @classmethod
    def from_json(cls, content: Json) -> ModelConfig:
        """Take the known values from the content of config.json; a missing value or null means the default.

        Raises ValueError for a value of the wrong type and for numbers below 1.
        """
        content = {name: value for name, value in content.items() if value is not None}
        given = {known: content[alias] for alias, known in _ALIASES.items() if alias in content}
        given |= {field.name: content[field.name] for field in fields(cls) if field.name in content}
        match given.get("eos_token_id"):
            case [int(only)]:
                given["eos_token_id"] = only
        given["is_quantized"] = bool(content.get("quantization_config"))
        for field in fields(cls):
            value = given.get(field.name, field.default)
            if type(value) is not type(field.default):
                raise ValueError(f"{field.name} is {value!r:.100}; allowed: type {type(field.default).__name__}")
            if type(value) is int and value < 1:
                raise ValueError(f"{field.name} is {value}; allowed: 1 or more")
        return cls(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationConfig:
    """The values of generation_config.json that decoding depends on.

    suppress_tokens: never sampled. begin_suppress_tokens: not sampled as the first token.
    max_initial_timestamp_index: the latest first timestamp, in units of TIME_PRECISION_S; None for no limit.
    alignment_heads: cross-attention heads that follow the audio, as pairs (decoder layer, head).
    """

    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    max_initial_timestamp_index: int | None = None
    alignment_heads: tuple[tuple[int, int], ...] = ()

    @classmethod
    def from_json(cls, content: Json) -> GenerationConfig:
        """Take the known values from the content of the file; a missing value or null means the default.

        Raises ValueError for a value of the wrong type.
        """
        given = {field.name: content[field.name] for field in fields(cls) if content.get(field.name) is not None}
        for name in ("suppress_tokens", "begin_suppress_tokens"):
            if name in given:
                given[name] = _integers(given[name], name=name)
        if "alignment_heads" in given:
            given["alignment_heads"] = _pairs(given["alignment_heads"], name="alignment_heads")
        index = given.get("max_initial_timestamp_index")
        if index is not None and type(index) is not int:
            raise ValueError(f"max_initial_timestamp_index is {index!r:.100}; allowed: an integer")
        return cls(**given)


def read_model_type(directory: Path) -> str | None:
    """Return the model_type in config.json, None if it has none. Raises OSError and ValueError."""
    model_type = _read_object(directory / "config.json").get("model_type")
    return None if model_type is None else str(model_type)


def read_model_config(directory: Path) -> ModelConfig:
    """Read config.json. Raises OSError and ValueError."""
    return ModelConfig.from_json(_read_object(directory / "config.json"))


def read_generation_config(directory: Path) -> GenerationConfig:
    """Read generation_config.json; old checkpoints without that file have its values in config.json.

    Raises OSError and ValueError.
    """
    path = directory / "generation_config.json"
    return GenerationConfig.from_json(_read_object(path if path.is_file() else directory / "config.json"))


def _read_object(path: Path) -> Json:
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is not a JSON object")
    return content


def _integers(value: object, *, name: str) -> tuple[int, ...]:
    if not isinstance(value, list) or any(type(item) is not int for item in value):
        raise ValueError(f"{name} is {value!r:.100}; allowed: a list of integers")
    return tuple(value)


def _pairs(value: object, *, name: str) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list) or not all(_is_pair(item) for item in value):
        raise ValueError(f"{name} is {value!r:.100}; allowed: a list of pairs of integers")
    return tuple((first, second) for first, second in value)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and [type(item) for item in value] == [int, int]
