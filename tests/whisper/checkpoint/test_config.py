"""Configurations have the same values as with transformers, and wrong types are refused."""

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


def expected_values(config: WhisperConfig) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(ModelConfig)} - {"is_quantized"}
    return {name: getattr(config, name) for name in names} | {"is_quantized": False}


@pytest.mark.parametrize(
    "content",
    [
        {},
        LARGE_TURBO,
        {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8},
        {"tie_word_embeddings": False, "activation_function": "relu"},
    ],
    ids=["empty", "large-v3-turbo", "names for every kind of model", "other values"],
)
def test_model_config_equals_that_of_transformers(content: dict[str, Any]) -> None:
    assert dataclasses.asdict(ModelConfig.from_json(content)) == expected_values(WhisperConfig(**content))


@pytest.mark.parametrize("name", ["base_directory", "tiny_en_directory"])
def test_files_give_the_same_values_as_with_transformers(name: str, request: pytest.FixtureRequest) -> None:
    directory: Path = request.getfixturevalue(name)
    assert dataclasses.asdict(read_model_config(directory)) == expected_values(
        WhisperConfig.from_pretrained(directory)
    )
    expected = transformers.GenerationConfig.from_pretrained(directory)
    found = read_generation_config(directory)
    assert list(found.suppress_tokens) == expected.suppress_tokens
    assert list(found.begin_suppress_tokens) == expected.begin_suppress_tokens
    assert found.max_initial_timestamp_index == expected.max_initial_timestamp_index
    assert [list(pair) for pair in found.alignment_heads] == expected.alignment_heads


def test_generation_config_of_an_old_checkpoint_is_read_from_config_json(tmp_path: Path) -> None:
    content = {"model_type": "whisper", "suppress_tokens": [1, 2], "begin_suppress_tokens": [220, 50256]}
    (tmp_path / "config.json").write_text(json.dumps(content))
    expected = transformers.GenerationConfig.from_model_config(WhisperConfig.from_pretrained(tmp_path))
    found = read_generation_config(tmp_path)
    assert (found.suppress_tokens, found.begin_suppress_tokens) == ((1, 2), (220, 50256))
    assert [list(found.suppress_tokens), list(found.begin_suppress_tokens)] == [
        expected.suppress_tokens,
        expected.begin_suppress_tokens,
    ]


def test_null_in_generation_config_means_the_default() -> None:
    assert GenerationConfig.from_json({"suppress_tokens": None, "alignment_heads": None}) == GenerationConfig()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"d_model": "512"}, "d_model is '512'; allowed: type int"),
        ({"d_model": 512.0}, "d_model is 512.0; allowed: type int"),
        ({"decoder_layers": True}, "decoder_layers is True; allowed: type int"),
        ({"encoder_attention_heads": 0}, "encoder_attention_heads is 0; allowed: 1 or more"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings is 1; allowed: type bool"),
        ({"activation_function": 1}, "activation_function is 1; allowed: type str"),
    ],
)
def test_model_config_with_a_wrong_value_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_json(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"suppress_tokens": ["x"]}, r"suppress_tokens is \['x'\]; allowed: a list of integers"),
        ({"suppress_tokens": 1}, "suppress_tokens is 1; allowed: a list of integers"),
        ({"begin_suppress_tokens": [1.5]}, r"begin_suppress_tokens is \[1\.5\]; allowed: a list of integers"),
        ({"begin_suppress_tokens": [True]}, r"begin_suppress_tokens is \[True\]; allowed: a list of integers"),
        ({"alignment_heads": 1}, "alignment_heads is 1; allowed: a list of pairs of integers"),
        ({"alignment_heads": [1, 2]}, r"alignment_heads is \[1, 2\]; allowed: a list of pairs of integers"),
        ({"alignment_heads": [[1, 2, 3]]}, r"alignment_heads is \[\[1, 2, 3\]\]; allowed: a list of pairs"),
        ({"alignment_heads": [[1, "2"]]}, r"alignment_heads is \[\[1, '2'\]\]; allowed: a list of pairs"),
        ({"max_initial_timestamp_index": "50"}, "max_initial_timestamp_index is '50'; allowed: an integer"),
    ],
)
def test_generation_config_with_a_wrong_value_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenerationConfig.from_json(content)


def test_message_quotes_only_the_beginning_of_a_long_value() -> None:
    with pytest.raises(ValueError, match="suppress_tokens") as caught:
        GenerationConfig.from_json({"suppress_tokens": ["x"] * 10_000})
    assert len(str(caught.value)) < 200


def test_list_of_one_eos_token_means_that_token() -> None:
    assert ModelConfig.from_json({"eos_token_id": [50_257]}).eos_token_id == 50_257


@pytest.mark.parametrize(("vocab_size", "is_multilingual"), [(51_864, False), (51_865, True), (51_866, True)])
def test_multilingual_models_have_a_larger_vocabulary(vocab_size: int, is_multilingual: bool) -> None:
    assert ModelConfig(vocab_size=vocab_size).is_multilingual == is_multilingual


def test_null_in_model_config_means_the_default() -> None:
    assert ModelConfig.from_json({"num_hidden_layers": None, "eos_token_id": None}) == ModelConfig()
