"""Checkpoints with random weights have the sizes of the real models, and other libraries read them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import WhisperForConditionalGeneration

from bench.shapes.__main__ import _cells
from bench.shapes.checkpoint import write_checkpoint
from bench.shapes.sizes import SIZES
from hf_asr_endpoint.whisper.checkpoint.loader import load_checkpoint


@pytest.mark.parametrize(
    ("name", "millions"),
    [("tiny", 38), ("base", 73), ("small", 242), ("medium", 764), ("large-v3", 1_543), ("turbo", 809)],
)
def test_sizes_have_as_many_weights_as_the_models(name: str, millions: int) -> None:
    """The counts of transformers' `num_parameters`."""
    assert round(SIZES[name].n_weights / 1e6) == millions


def test_transformers_and_this_project_read_equal_weights(base_directory: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, SIZES["tiny"], tokenizer_from=base_directory, dtype="bfloat16", n_shards=2)
    theirs = WhisperForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32).state_dict()
    checkpoint = load_checkpoint(tmp_path, device="cpu", dtype="float32")
    assert checkpoint.is_multilingual
    for name in (
        "model.encoder.conv2.weight",
        "model.decoder.layers.3.fc2.weight",
        "model.decoder.layer_norm.weight",
    ):
        torch.testing.assert_close(checkpoint.tensors[name], theirs[name], rtol=0, atol=0)


def test_a_larger_vocabulary_has_another_language(base_directory: Path, tmp_path: Path) -> None:
    """As large-v3's, whose tasks and timestamps moved up by one."""
    tiny = SIZES["tiny"]
    large_vocabulary = replace(
        tiny, config=replace(tiny.config, vocab_size=51_866, encoder_layers=1, decoder_layers=1)
    )
    write_checkpoint(tmp_path, large_vocabulary, tokenizer_from=base_directory)
    tokenizer = load_checkpoint(tmp_path, device="cpu", dtype="float32").tokenizer
    assert tokenizer.language_tokens["yue"] == 50_358
    assert tokenizer.task_tokens == {"translate": 50_359, "transcribe": 50_360}
    assert tokenizer.timestamp_begin == 50_365


def test_cells_of_the_table() -> None:
    cells = _cells(
        {
            "load_s": 5.04,
            "loaded_mib": 812.4,
            "windows_ms": {"10": 163.97, "30": 593.7},
            "steps_ms": {"1": 8.974, "8": 16.8, "16": 29.4},
            "peak_mib": None,
        }
    )
    assert cells == ["5.0", "812", "164", "594", "9.0", "16.8", "29.4", "–"]
