from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import (
    AutoProcessor,
    WhisperConfig,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.checkpoint.weights.conversion import convert_bytes, convert_directory
from hf_asr_endpoint.whisper.checkpoint.weights.ctranslate2 import Array, read_model
from tests.whisper.conftest import (
    SMALL_CONFIG,
    SMALL_SHAPE,
    SMALL_TOKENIZER,
    ctranslate2_variables,
    make_model_bin,
    make_small_whisper,
    replace_file,
)

SPOKEN = "And so my fellow Americans ask not what your country can do for you ask what you can do for your country"


@pytest.fixture(params=["base_directory", "tiny_en_directory"])
def directory(request: pytest.FixtureRequest) -> Path:
    """Each of the embedded models, converted."""
    converted: Path = request.getfixturevalue(request.param)
    return converted


@pytest.fixture
def processor(directory: Path) -> WhisperProcessor:
    return WhisperProcessor.from_pretrained(directory)


def load_json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


def read_tiny_en(package: Path) -> dict[str, Array]:
    return read_model(memoryview((package / "model.bin").read_bytes()), origin="tiny.en").variables


def test_tensors_are_complete_for_transformers(directory: Path) -> None:
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(WhisperConfig.from_pretrained(directory))
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    del expected["proj_out.weight"]  # the same as the embeddings
    tensors = load_file(directory / "model.safetensors")
    assert {name: tensor.shape for name, tensor in tensors.items()} == expected
    assert {tensor.dtype.name for tensor in tensors.values()} == {"float16"}


def test_every_value_is_kept(tiny_en_directory: Path, tiny_en_package: Path) -> None:
    """Counts each value on both sides, which is independent of how tensors are named or split."""
    variables = read_tiny_en(tiny_en_package)
    del variables["decoder/projection/weight"]  # the same as the embeddings
    source = [array for array in variables.values() if array.ndim]
    target = list(load_file(tiny_en_directory / "model.safetensors").values())
    d_model, n_attentions = 384, 12  # four in the encoder, twice four in the decoder
    target.append(np.zeros(d_model * n_attentions, np.float16))  # the biases of the key projections
    assert sum(map(count_values, source)).tolist() == sum(map(count_values, target)).tolist()


def count_values(array: Array) -> Array:
    """Return how often each of the 65,536 values of float16 occurs."""
    return np.bincount(np.ravel(array).view(np.uint16), minlength=2**16)


def test_fused_projections_are_split(tiny_en_directory: Path, tiny_en_package: Path) -> None:
    tensors = load_file(tiny_en_directory / "model.safetensors")
    variables = read_tiny_en(tiny_en_package)
    no_bias = np.zeros(384, np.float16)
    for fused, names in {
        "encoder/layer_2/self_attention/linear_0": ["encoder.layers.2.self_attn." + p for p in ("q", "k", "v")],
        "decoder/layer_1/self_attention/linear_0": ["decoder.layers.1.self_attn." + p for p in ("q", "k", "v")],
        "decoder/layer_1/attention/linear_0": ["decoder.layers.1.encoder_attn.q"],
        "decoder/layer_1/attention/linear_1": ["decoder.layers.1.encoder_attn." + p for p in ("k", "v")],
    }.items():
        weights = [tensors[f"model.{name}_proj.weight"] for name in names]
        biases = [tensors.get(f"model.{name}_proj.bias", no_bias) for name in names]
        np.testing.assert_array_equal(np.concatenate(weights), variables[f"{fused}/weight"])
        np.testing.assert_array_equal(np.concatenate(biases), variables[f"{fused}/bias"])


@pytest.mark.usefixtures("one_thread")
def test_converted_model_transcribes_in_transformers(directory: Path, speech: Waveform) -> None:
    model = WhisperForConditionalGeneration.from_pretrained(directory, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(directory)
    assert isinstance(processor, WhisperProcessor)
    features = processor(speech, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    tokens = model.generate(features, return_timestamps=True)[0].tolist()
    segments = processor.decode(tokens, skip_special_tokens=True, output_offsets=True)["offsets"]
    assert segments[0]["timestamp"][0] == pytest.approx(0.0, abs=0.5)
    assert segments[-1]["timestamp"][1] == pytest.approx(11.0, abs=0.5)
    text = processor.decode(tokens, skip_special_tokens=True)
    assert re.sub(r"[^\w\s]", "", text).lower().split() == SPOKEN.lower().split()


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        pytest.param(
            "base_directory",
            {
                "<|endoftext|>": 50257,
                "<|startoftranscript|>": 50258,
                "<|en|>": 50259,
                "<|translate|>": 50358,
                "<|transcribe|>": 50359,
                "<|startofprev|>": 50361,
                "<|notimestamps|>": 50363,
                "<|0.00|>": 50364,
                "<|30.00|>": 51864,
            },
            id="multilingual",
        ),
        pytest.param(
            "tiny_en_directory",
            {
                "<|endoftext|>": 50256,
                "<|startoftranscript|>": 50257,
                "<|notimestamps|>": 50362,
                "<|0.00|>": 50363,
                "<|30.00|>": 51863,
            },
            id="English-only",
        ),
    ],
)
def test_token_ids_equal_the_published_ones(
    name: str, ids: dict[str, int], request: pytest.FixtureRequest
) -> None:
    directory = request.getfixturevalue(name)
    tokenizer = WhisperTokenizer.from_pretrained(directory)
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in ids} == ids
    for file in ("config.json", "generation_config.json"):
        config = load_json(directory / file)
        assert config["decoder_start_token_id"] == ids["<|startoftranscript|>"]
        assert {config[f"{end}_token_id"] for end in ("bos", "eos", "pad")} == {ids["<|endoftext|>"]}
    assert load_json(directory / "generation_config.json")["no_timestamps_token_id"] == ids["<|notimestamps|>"]


def test_tokenizer_decodes_timestamps(processor: WhisperProcessor) -> None:
    tokenizer = processor.tokenizer
    begin = tokenizer.convert_tokens_to_ids("<|0.00|>")
    tokens = [begin, *tokenizer.encode(" Hello", add_special_tokens=False), begin + 57, begin + 1500]
    assert tokenizer.decode(tokens, decode_with_timestamps=True) == "<|0.00|> Hello<|1.14|><|30.00|>"
    assert tokenizer.decode(tokens) == " Hello"


def test_multilingual_generation_config(base_directory: Path) -> None:
    config = load_json(base_directory / "generation_config.json")
    assert config["is_multilingual"] is True
    assert config["task_to_id"] == {"transcribe": 50359, "translate": 50358}
    assert len(config["lang_to_id"]) == 99
    assert config["lang_to_id"]["<|en|>"] == 50259
    assert config["lang_to_id"]["<|su|>"] == 50357
    assert config["forced_decoder_ids"] == [[1, None], [2, 50359]]
    assert config["prev_sot_token_id"] == 50361


def test_english_only_generation_config(tiny_en_directory: Path) -> None:
    config = load_json(tiny_en_directory / "generation_config.json")
    assert config["is_multilingual"] is False
    assert config.keys().isdisjoint({"task_to_id", "lang_to_id", "forced_decoder_ids"})


def test_generation_config_keeps_heads_and_suppressed_tokens(
    tiny_en_directory: Path, tiny_en_package: Path
) -> None:
    config, source = (
        load_json(tiny_en_directory / "generation_config.json"),
        load_json(tiny_en_package / "config.json"),
    )
    assert config["alignment_heads"] == source["alignment_heads"]
    assert config["suppress_tokens"] == source["suppress_ids"]
    assert config["begin_suppress_tokens"] == source["suppress_ids_begin"]


def test_files_have_equal_permissions(directory: Path) -> None:
    assert len({path.stat().st_mode for path in directory.iterdir()}) == 1


def test_tokenizer_with_timestamps_is_not_changed(
    ctranslate2_directory: Path, tiny_en_directory: Path, tmp_path: Path
) -> None:
    complete = (tiny_en_directory / "tokenizer.json").read_bytes()
    replace_file(ctranslate2_directory / "tokenizer.json", complete)
    convert_directory(ctranslate2_directory, tmp_path)
    assert load_json(tmp_path / "tokenizer.json") == json.loads(complete)


def test_any_shape_and_precision_is_converted(tmp_path: Path) -> None:
    """Distilled models have fewer decoder layers, whisper-large-v3 has 128 mels, files may hold float32."""
    original = make_small_whisper()
    weights = make_model_bin(ctranslate2_variables(original))
    convert_bytes(weights, config=SMALL_CONFIG, tokenizer=SMALL_TOKENIZER, origin="random", target=tmp_path)
    converted = WhisperForConditionalGeneration.from_pretrained(tmp_path)
    assert converted.dtype == torch.float32
    assert {name: getattr(converted.config, name) for name in SMALL_SHAPE} == SMALL_SHAPE
    assert load_json(tmp_path / "preprocessor_config.json")["feature_size"] == SMALL_SHAPE["num_mel_bins"]
    assert "alignment_heads" not in load_json(tmp_path / "generation_config.json")
    torch.testing.assert_close(converted.state_dict(), original.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param("config.json", b"{}", "KeyError: 'suppress_ids'", id="config without token ids"),
        pytest.param("config.json", b"nonsense", "is not valid JSON", id="config that is not JSON"),
        pytest.param("config.json", b"[]", "is not a JSON object", id="config that is a list"),
        pytest.param("tokenizer.json", b"{}", "KeyError: 'added_tokens'", id="tokenizer without special tokens"),
        pytest.param("tokenizer.json", b'{"added_tokens": []}', "notimestamps", id="no special tokens"),
        pytest.param("tokenizer.json", b'{"added_tokens": 1}', "cannot be loaded", id="number for a list"),
        pytest.param("tokenizer.json", b"\xff\xfe", "is not valid JSON", id="tokenizer that is not UTF-8"),
        pytest.param("model.bin", b"", "is empty", id="empty weights"),
        pytest.param("model.bin", make_model_bin({}), "KeyError: 'encoder/conv1/weight'", id="no tensors"),
    ],
)
def test_incomplete_source_is_refused(
    name: str, content: bytes, reason: str, ctranslate2_directory: Path, tmp_path: Path
) -> None:
    replace_file(ctranslate2_directory / name, content)
    with pytest.raises(ModelUnavailable, match=reason) as caught:
        convert_directory(ctranslate2_directory, tmp_path)
    assert str(ctranslate2_directory) in str(caught.value)
