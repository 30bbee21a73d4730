"""Every form of checkpoint that transformers saves is loaded with equal tensors; damaged ones are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from hf_asr_endpoint.whisper.checkpoint.config import ModelConfig, read_model_config
from hf_asr_endpoint.whisper.checkpoint.tensor_files import in_memory, stored_tensors
from hf_asr_endpoint.whisper.checkpoint.tensors import (
    EMBEDDINGS,
    ENCODER_POSITIONS,
    OUTPUT,
    Tensors,
    expected_shapes,
    select_tensors,
)
from tests.whisper.conftest import SMALL_SHAPE, make_small_whisper

CPU = torch.device("cpu")
SHARD = "4KB"
FC1 = "model.encoder.layers.0.fc1.weight"
Save = Callable[[WhisperForConditionalGeneration, Path], None]


def save_safetensors(model: WhisperForConditionalGeneration, directory: Path) -> None:
    model.save_pretrained(directory)


def save_shards(model: WhisperForConditionalGeneration, directory: Path) -> None:
    model.save_pretrained(directory, max_shard_size=SHARD)
    assert len(list(directory.glob("model-*-of-*.safetensors"))) > 2


def save_pickle(model: WhisperForConditionalGeneration, directory: Path) -> None:
    model.config.save_pretrained(directory)
    torch.save(model.state_dict(), directory / "pytorch_model.bin")


def save_old_pickle(model: WhisperForConditionalGeneration, directory: Path) -> None:
    """As torch wrote before 1.6: not an archive, so it cannot be mapped."""
    model.config.save_pretrained(directory)
    path = directory / "pytorch_model.bin"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)


def save_pickled_shards(model: WhisperForConditionalGeneration, directory: Path) -> None:
    model.config.save_pretrained(directory)
    names = sorted(model.state_dict())
    index: dict[str, str] = {}
    for number, some in enumerate((names[::2], names[1::2]), start=1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: model.state_dict()[name] for name in some}, directory / file)
        index |= dict.fromkeys(some, file)
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def save_without_prefix(model: WhisperForConditionalGeneration, directory: Path) -> None:
    model.model.save_pretrained(directory)
    assert "encoder.conv1.weight" in load_file(directory / "model.safetensors")


def save_without_positions(model: WhisperForConditionalGeneration, directory: Path) -> None:
    model.save_pretrained(directory)
    rewrite(directory, lambda tensors: tensors.pop(ENCODER_POSITIONS))


def save_output_alone(model: WhisperForConditionalGeneration, directory: Path) -> None:
    model.save_pretrained(directory)
    rewrite(directory, lambda tensors: tensors.update({OUTPUT: tensors.pop(EMBEDDINGS)}))


def save_other_output(model: WhisperForConditionalGeneration, directory: Path) -> None:
    """Like some fine-tunes, whose configuration still says that both tensors are tied."""
    model.save_pretrained(directory)
    rewrite(directory, lambda tensors: tensors.update({OUTPUT: tensors[EMBEDDINGS] + 1}))


def save_same_output(model: WhisperForConditionalGeneration, directory: Path) -> None:
    model.save_pretrained(directory)
    rewrite(directory, lambda tensors: tensors.update({OUTPUT: tensors[EMBEDDINGS].clone()}))


def save_untied(model: WhisperForConditionalGeneration, directory: Path) -> None:
    save_other_output(model, directory)
    config = json.loads((directory / "config.json").read_bytes())
    (directory / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))


def save_with_extra_tensors(model: WhisperForConditionalGeneration, directory: Path) -> None:
    model.save_pretrained(directory)
    more = {"model.encoder.layers.0.self_attn.k_proj.bias": torch.ones(8), "model.other.weight": torch.ones(3)}
    rewrite(directory, lambda tensors: tensors.update(more))


FORMS: list[Save] = [
    save_safetensors,
    save_shards,
    save_pickle,
    save_old_pickle,
    save_pickled_shards,
    save_without_prefix,
    save_without_positions,
    save_output_alone,
    save_other_output,
    save_same_output,
    save_untied,
    save_with_extra_tensors,
]


def rewrite(directory: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def load(directory: Path, dtype: torch.dtype = torch.float32) -> Tensors:
    config = read_model_config(directory)
    return Tensors(select_tensors(stored_tensors(directory), config), device=CPU, dtype=dtype)


@pytest.fixture(scope="module")
def model() -> WhisperForConditionalGeneration:
    return make_small_whisper().eval()


@pytest.fixture
def directory(model: WhisperForConditionalGeneration, tmp_path: Path) -> Path:
    """A small model as transformers saves it."""
    save_safetensors(model, tmp_path)
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("save", FORMS, ids=lambda save: save.__name__)
def test_every_form_gives_the_same_tensors_as_transformers(
    model: WhisperForConditionalGeneration, tmp_path: Path, save: Save, dtype: torch.dtype
) -> None:
    save(model, tmp_path)
    expected = WhisperForConditionalGeneration.from_pretrained(tmp_path, dtype=dtype)
    tensors = load(tmp_path, dtype)
    is_tied = expected.proj_out.weight is expected.model.decoder.embed_tokens.weight
    assert (tensors.find(OUTPUT) is None) == is_tied
    names = expected.state_dict().keys() - ({OUTPUT} if is_tied else set())
    for name in names:
        torch.testing.assert_close(tensors[name], expected.state_dict()[name], rtol=0, atol=0)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_dtype_is_converted_as_by_transformers(
    model: WhisperForConditionalGeneration, tmp_path: Path, stored: torch.dtype, dtype: torch.dtype
) -> None:
    model.config.save_pretrained(tmp_path)
    given = {name: tensor.to(stored) for name, tensor in model.state_dict().items() if name != OUTPUT}
    save_file(given, tmp_path / "model.safetensors", metadata={"format": "pt"})
    expected = WhisperForConditionalGeneration.from_pretrained(tmp_path, dtype=dtype).state_dict()
    tensors = load(tmp_path, dtype)
    for name in given:
        torch.testing.assert_close(tensors[name], expected[name], rtol=0, atol=0)


def test_expected_names_and_shapes_equal_those_of_transformers(model: WhisperForConditionalGeneration) -> None:
    actual = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert expected_shapes(ModelConfig.from_json(SMALL_SHAPE)) == actual


def test_safetensors_are_preferred_to_pickles(directory: Path) -> None:
    (directory / "pytorch_model.bin").write_bytes(b"nonsense")
    assert EMBEDDINGS in stored_tensors(directory)


def test_tensors_under_a_prefix_are_read(directory: Path) -> None:
    tensors = load(directory)
    layer = tensors.under("model.encoder").under("layers.1")
    weight, bias = layer.linear("self_attn.k_proj")
    assert weight.equal(tensors["model.encoder.layers.1.self_attn.k_proj.weight"])
    assert bias is None
    assert layer.norm("final_layer_norm")[1].equal(layer["final_layer_norm.bias"])
    assert (layer.device, layer.dtype) == (CPU, torch.float32)


@pytest.mark.parametrize("save", [save_safetensors, save_pickle], ids=lambda save: save.__name__)
def test_tensors_share_no_memory(model: WhisperForConditionalGeneration, tmp_path: Path, save: Save) -> None:
    """A tensor that pointed into a mapped file would keep the whole file in memory and see writes to it."""
    save(model, tmp_path)
    tensors = load(tmp_path)
    first, second = tensors[EMBEDDINGS], tensors[EMBEDDINGS]
    assert first.untyped_storage().nbytes() == first.nbytes
    first.zero_()
    assert second.any()
    assert tensors[EMBEDDINGS].equal(second)


def test_missing_tensors_are_counted_and_named(directory: Path) -> None:
    names = ["model.encoder.layers.2.fc1.bias", "model.decoder.layer_norm.weight"]
    rewrite(directory, lambda tensors: [tensors.pop(name) for name in names])
    with pytest.raises(
        ValueError, match=r"2 of \d+ tensors are missing; the first is model\.encoder\.layers\.2\.fc1\.bias"
    ):
        load(directory)


def test_missing_embeddings_are_refused(directory: Path) -> None:
    rewrite(directory, lambda tensors: tensors.pop(EMBEDDINGS))
    with pytest.raises(
        ValueError, match=r"1 of \d+ tensors are missing; the first is model\.decoder\.embed_tokens\.weight"
    ):
        load(directory)


def test_missing_output_of_an_untied_model_is_refused(directory: Path) -> None:
    config = ModelConfig.from_json({**SMALL_SHAPE, "tie_word_embeddings": False})
    with pytest.raises(ValueError, match=r"1 of \d+ tensors are missing; the first is proj_out\.weight"):
        select_tensors(stored_tensors(directory), config)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("model.encoder.conv1.weight", (8, 80, 3), r"\(8, 128, 3\)"),
        ("model.decoder.layers.0.fc1.bias", (1,), r"\(24,\)"),
        (EMBEDDINGS, (61, 8), r"\(60, 8\)"),
        (ENCODER_POSITIONS, (8, 20), r"\(20, 8\)"),
    ],
)
def test_wrong_shape_is_refused(directory: Path, name: str, shape: tuple[int, ...], expected: str) -> None:
    rewrite(directory, lambda tensors: tensors.update({name: torch.ones(shape)}))
    given = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"{name} has shape {given}; config\.json requires {expected}"):
        load(directory)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantized_weights_are_refused(directory: Path, dtype: torch.dtype) -> None:
    """Their shapes are those of other weights, and their scales are missing."""
    rewrite(directory, lambda tensors: tensors.update({FC1: tensors[FC1].to(dtype)}))
    with pytest.raises(ValueError, match=rf"{FC1} is quantized; allowed: weights in float16"):
        load(directory)
    tensors = {FC1: torch.ones(1, dtype=dtype)}
    assert not in_memory(tensors)[FC1].is_floating


def test_layers_beyond_the_configuration_are_refused(model: WhisperForConditionalGeneration) -> None:
    """The first layers alone produce nonsense."""
    fewer = ModelConfig.from_json({**SMALL_SHAPE, "encoder_layers": 2})
    with pytest.raises(
        ValueError,
        match=r"the weights have more layers than config\.json: \d+ tensors, the first is model\.encoder",
    ):
        select_tensors(in_memory(model.state_dict()), fewer)


@pytest.mark.parametrize("elsewhere", ["../weights.safetensors", "/weights.safetensors"])
def test_shards_outside_the_directory_are_refused(
    model: WhisperForConditionalGeneration, tmp_path: Path, elsewhere: str
) -> None:
    save_shards(model, tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {FC1: elsewhere}}))
    with pytest.raises(
        ValueError, match=rf"{index.name} names '{elsewhere}'; allowed: files in the same directory"
    ):
        stored_tensors(tmp_path)


@pytest.mark.parametrize(
    "save", [save_safetensors, save_shards, save_pickle, save_pickled_shards], ids=lambda save: save.__name__
)
@pytest.mark.parametrize("n_lost", [1, 2_000])
def test_truncated_file_is_refused(
    model: WhisperForConditionalGeneration, tmp_path: Path, save: Save, n_lost: int
) -> None:
    save(model, tmp_path)
    last = sorted(path for path in tmp_path.iterdir() if path.suffix in (".safetensors", ".bin"))[-1]
    last.write_bytes(last.read_bytes()[:-n_lost])
    with pytest.raises((SafetensorError, OSError, RuntimeError, UnpicklingError)):
        load(tmp_path)


def test_missing_shard_is_refused(model: WhisperForConditionalGeneration, tmp_path: Path) -> None:
    save_shards(model, tmp_path)
    next(tmp_path.glob("model-00002-*")).unlink()
    with pytest.raises(FileNotFoundError, match="model-00002"):
        load(tmp_path)
