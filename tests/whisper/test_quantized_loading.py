"""In int8, weights are quantized while they are read, whatever files they are in, and not kept otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.shapes.checkpoint import write_checkpoint
from bench.shapes.sizes import SIZES, Size
from hf_asr_endpoint.whisper.loading import load_speech_model
from hf_asr_endpoint.whisper.model.linear import Int8TileLinear
from tests.whisper.levels import HERE, needs_kernels

pytestmark = [pytest.mark.usefixtures("one_thread"), needs_kernels]

SMALL = Size(
    name="small",
    config=replace(
        SIZES["tiny"].config, d_model=128, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_layers=2, decoder_layers=2, encoder_ffn_dim=512, decoder_ffn_dim=512,
    ),
)  # fmt: skip

PEAK_OF_LOADING = """
import json, os, sys
from pathlib import Path
from bench.peak_memory import peak_rss_mib, reset_peak_rss, rss_mib
from hf_asr_endpoint.whisper.loading import load_speech_model
from hf_asr_endpoint.whisper.process import limit_malloc_arenas, trim_heap
limit_malloc_arenas()
def load(directory):
    return load_speech_model(Path(directory), device="cpu", dtype="int8", slots=1, cache_dir=Path(sys.argv[3]))
load(sys.argv[1])  # Imports and compiles what every model needs.
trim_heap()
reset_peak_rss(os.getpid())
before = rss_mib(os.getpid())
model = load(sys.argv[2])
print(json.dumps(peak_rss_mib(os.getpid()) - before))
"""


@pytest.fixture(scope="module")
def small_directory(base_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("small")
    write_checkpoint(directory, SMALL, tokenizer_from=base_directory)
    return directory


def packed(directory: Path, cache_dir: Path) -> list[torch.Tensor]:
    """Return what the int8 layers of a model hold."""
    model, _, info = load_speech_model(directory, device="cpu", dtype="int8", slots=1, cache_dir=cache_dir)
    assert (info.dtype, info.cpu_level) == ("int8", HERE[0])
    tensors: dict[int, torch.Tensor] = {}  # Layers with and without a norm share them.
    for layer in int8_layers(model):
        tensors |= {tensor.data_ptr(): tensor for tensor in (layer._weight, layer._column_parameters)}
    return list(tensors.values())


def int8_layers(value: Any) -> Iterator[Int8TileLinear]:
    if isinstance(value, Int8TileLinear):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from int8_layers(item)
    elif type(value).__module__.startswith(
        ("hf_asr_endpoint.whisper.model", "hf_asr_endpoint.whisper.speech_model")
    ):
        for attribute in getattr(value, "__dict__", {}).values():
            yield from int8_layers(attribute)


@pytest.mark.parametrize("stored_as", ["shards", "float32", "float64", "pickle"])
def test_all_files_give_the_same_int8_weights(
    stored_as: str, small_directory: Path, base_directory: Path, cache_dir: Path, tmp_path: Path
) -> None:
    if stored_as == "shards":
        write_checkpoint(tmp_path, SMALL, tokenizer_from=base_directory, n_shards=3)
        assert len(list(tmp_path.glob("*.safetensors"))) == 3
    else:
        for path in small_directory.glob("*.json"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
        tensors = load_file(small_directory / "model.safetensors")
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
        if stored_as == "pickle":
            torch.save(tensors, tmp_path / "pytorch_model.bin")
        else:
            converted = {name: tensor.to(getattr(torch, stored_as)) for name, tensor in tensors.items()}
            save_file(converted, tmp_path / "model.safetensors", metadata={"format": "pt"})
    expected, result = packed(small_directory, cache_dir), packed(tmp_path, cache_dir)
    assert len(expected) == len(result) == 2 * (2 * 4 + 2 * 7 + 1)
    for one, other in zip(expected, result, strict=True):
        assert torch.equal(one.view(torch.int8), other.view(torch.int8))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc has a process's peak memory")
@pytest.mark.parametrize(
    ("dtype", "n_shards", "factor"),
    [
        pytest.param("float16", 1, 1.35, id="float16"),
        # The embeddings, which are a third of this model, are read in float32 and then rounded.
        pytest.param("float32", 3, 1.75, id="float32 in shards"),
    ],
)
def test_loading_needs_little_more_memory_than_the_int8_model(
    dtype: str,
    n_shards: int,
    factor: float,
    small_directory: Path,
    base_directory: Path,
    cache_dir: Path,
    tmp_path: Path,
) -> None:
    """It once needed the embeddings in float32 and several copies of a weight: 2.1 GB for large-v3-turbo."""
    size = SIZES["base"]
    write_checkpoint(tmp_path, size, tokenizer_from=base_directory, dtype=dtype, n_shards=n_shards)
    command = [sys.executable, "-c", PEAK_OF_LOADING, str(small_directory), str(tmp_path), str(cache_dir)]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    peak_mib = json.loads(completed.stdout)
    weights_mib = size.n_weights / 2**20
    embeddings_mib = 2 * size.config.vocab_size * size.config.d_model / 2**20  # to look up tokens, in 16 bits
    assert peak_mib < factor * (weights_mib + embeddings_mib)
