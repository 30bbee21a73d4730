"""The files are read as transformers reads them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers import WhisperConfig

from hf_asr_endpoint.whisper.checkpoint.config import (
    GenerationConfig,
    ModelConfig,
    read_generation_config,
    read_model_config,
)

LARGE_TURBO = {
    "d_model": 1280,
    "encoder_attention_heads": 20,
    "encoder_layers": 32,
    "num_hidden_layers": 32,
    "encoder_ffn_dim": 5120,
    "decoder_attention_heads": 20,
    "decoder_layers": 4,
    "decoder_ffn_dim": 5120,
    "num_mel_bins": 128,
    "vocab_size": 51866,
    "eos_token_id": 50257,
}


def known(config: WhisperConfig) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(ModelConfig)} - {"is_quantised"}
    return {name: getattr(config, name) for name in names} | {"is_quantised": False}


@pytest.mark.parametrize(
    "content",
    [
        {},
        LARGE_TURBO,
        {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8},
        {"tie_word_embeddings": False, "activation_function": "relu"},
    ],
    ids=["nothing", "large-v3-turbo", "names of every model", "others"],
)
def test_dimensions_are_those_of_transformers(content: dict[str, Any]) -> None:
    assert dataclasses.asdict(ModelConfig.of(content)) == known(WhisperConfig(**content))


@pytest.mark.parametrize("name", ["base_directory", "tiny_en_directory"])
def test_files_are_read_as_by_transformers(name: str, request: pytest.FixtureRequest) -> None:
    directory: Path = request.getfixturevalue(name)
    assert dataclasses.asdict(read_model_config(directory)) == known(WhisperConfig.from_pretrained(directory))
    expected = transformers.GenerationConfig.from_pretrained(directory)
    found = read_generation_config(directory)
    assert list(found.suppress_tokens) == expected.suppress_tokens
    assert list(found.begin_suppress_tokens) == expected.begin_suppress_tokens
    assert found.max_initial_timestamp_index == expected.max_initial_timestamp_index
    assert [list(pair) for pair in found.alignment_heads] == expected.alignment_heads


def test_old_checkpoint_has_its_tokens_in_config_json(tmp_path: Path) -> None:
    content = {"model_type": "whisper", "suppress_tokens": [1, 2], "begin_suppress_tokens": [220, 50256]}
    (tmp_path / "config.json").write_text(json.dumps(content))
    expected = transformers.GenerationConfig.from_model_config(WhisperConfig.from_pretrained(tmp_path))
    found = read_generation_config(tmp_path)
    assert (found.suppress_tokens, found.begin_suppress_tokens) == ((1, 2), (220, 50256))
    assert [list(found.suppress_tokens), list(found.begin_suppress_tokens)] == [
        expected.suppress_tokens,
        expected.begin_suppress_tokens,
    ]


def test_null_is_as_good_as_nothing() -> None:
    assert GenerationConfig.of({"suppress_tokens": None, "alignment_heads": None}) == GenerationConfig()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"d_model": "512"}, "d_model is '512', no int"),
        ({"d_model": 512.0}, "d_model is 512.0, no int"),
        ({"decoder_layers": True}, "decoder_layers is True, no int"),
        ({"encoder_attention_heads": 0}, "encoder_attention_heads is 0; allowed: 1 or more"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings is 1, no bool"),
        ({"activation_function": 1}, "activation_function is 1, no str"),
    ],
)
def test_value_of_another_type_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig.of(content)


@pytest.mark.parametrize(
    "content",
    [
        {"suppress_tokens": ["x"]},
        {"suppress_tokens": 1},
        {"begin_suppress_tokens": [1.5]},
        {"alignment_heads": [1, 2]},
        {"alignment_heads": [[1, 2, 3]]},
        {"max_initial_timestamp_index": "50"},
    ],
    ids=str,
)
def test_tokens_and_heads_that_are_none_are_refused(content: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        GenerationConfig.of(content)


def test_a_list_of_one_end_is_that_end() -> None:
    assert ModelConfig.of({"eos_token_id": [50_257]}).eos_token_id == 50_257


def test_dimensions_of_null_are_as_good_as_none() -> None:
    assert ModelConfig.of({"num_hidden_layers": None, "eos_token_id": None}) == ModelConfig()
