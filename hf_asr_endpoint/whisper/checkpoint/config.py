"""What a checkpoint's JSON files say of the model: its dimensions, and which tokens it may not say.

As transformers' WhisperConfig and GenerationConfig read them; importing these takes 0.8 s and 20 MB.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

Json = Mapping[str, Any]

_ALIASES = {
    "hidden_size": "d_model",
    "num_hidden_layers": "encoder_layers",
    "num_attention_heads": "encoder_attention_heads",
}
"""Names that every model of transformers has; Whisper's own come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The parts of config.json that decide what is computed. What is left out there is as in whisper-tiny."""

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
    is_quantised: bool = False

    @classmethod
    def of(cls, content: Json) -> ModelConfig:
        """Take what matters of config.json's content. Raises ValueError for a value of another type."""
        # null is as good as nothing.
        content = {name: value for name, value in content.items() if value is not None}
        given = {known: content[alias] for alias, known in _ALIASES.items() if alias in content}
        given |= {field.name: content[field.name] for field in fields(cls) if field.name in content}
        match given.get("eos_token_id"):
            case [int(only)]:
                given["eos_token_id"] = only
        given["is_quantised"] = bool(content.get("quantization_config"))
        for field in fields(cls):
            value = given.get(field.name, field.default)
            if type(value) is not type(field.default):
                raise ValueError(f"{field.name} is {value!r}, no {type(field.default).__name__}")
            if type(value) is int and value < 1:
                raise ValueError(f"{field.name} is {value}; allowed: 1 or more")
        return cls(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationConfig:
    """The parts of generation_config.json that decide what is said.

    alignment_heads: pairs of a decoder layer and one of its heads. max_initial_timestamp_index: in units of
    TIME_PRECISION_S.
    """

    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    max_initial_timestamp_index: int | None = None
    alignment_heads: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, content: Json) -> GenerationConfig:
        """Take what matters of the file's content, where null is as good as nothing."""
        given = {field.name: content[field.name] for field in fields(cls) if content.get(field.name) is not None}
        for name in ("suppress_tokens", "begin_suppress_tokens"):
            if name in given:
                given[name] = tuple(map(_integer, given[name]))
        if "alignment_heads" in given:
            given["alignment_heads"] = tuple(
                (_integer(layer), _integer(head)) for layer, head in given["alignment_heads"]
            )
        if "max_initial_timestamp_index" in given:
            _integer(given["max_initial_timestamp_index"])
        return cls(**given)


def read_model_config(directory: Path) -> ModelConfig:
    """Raises OSError and ValueError."""
    return ModelConfig.of(_read(directory / "config.json"))


def read_generation_config(directory: Path) -> GenerationConfig:
    """Read generation_config.json or, for want of one, what old checkpoints have of it in config.json.

    Raises OSError and ValueError.
    """
    path = directory / "generation_config.json"
    return GenerationConfig.of(_read(path if path.is_file() else directory / "config.json"))


def _read(path: Path) -> Json:
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return content


def _integer(value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is no token, layer, head or index, which are integers")
    return value
