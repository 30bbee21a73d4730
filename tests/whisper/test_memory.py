"""How much memory a model holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from hf_asr_endpoint.whisper.loading import load_speech_model
from hf_asr_endpoint.whisper.memory import held_bytes


def test_each_memory_counts_once_wherever_it_is_held() -> None:
    tensor = torch.zeros(1_000)
    held = {"a": [tensor, tensor[10:20]], "b": (torch.zeros(10, dtype=torch.int8),), "c": "text"}
    assert held_bytes(held) == 4_010
    held["b"] = held  # type: ignore[assignment] # A cycle ends.
    assert held_bytes(held) == 4_000


def test_what_other_packages_hold_does_not_count() -> None:
    @dataclass
    class Foreign:
        tensor: torch.Tensor

    Foreign.__module__ = "elsewhere"
    assert held_bytes([Foreign(torch.zeros(10))]) == 0


def test_a_model_tells_its_weights_and_caches(tiny_en_directory: Path) -> None:
    few, _, info = load_speech_model(tiny_en_directory, device="cpu", dtype="float32", slots=1)
    _, _, info_of_more = load_speech_model(tiny_en_directory, device="cpu", dtype="float32", slots=3)
    assert info.memory_bytes == held_bytes(few)
    assert 150e6 < info.memory_bytes < 300e6, "37.8 million weights of 4 bytes, and a slot"
    slot_bytes = (info_of_more.memory_bytes - info.memory_bytes) / 2
    cross_bytes = 4 * 2 * 1_500 * 384 * 4  # layers, keys and values, positions, width, float32
    self_bytes = 4 * 2 * 448 * 384 * 4
    assert slot_bytes >= cross_bytes + self_bytes


def test_weights_in_the_layout_of_onednn_count() -> None:
    packed = torch.ops.mkldnn._reorder_linear_weight(torch.zeros(64, 32, dtype=torch.bfloat16), 16)
    assert held_bytes([packed, [packed]]) >= 64 * 32 * 2
    assert held_bytes([packed, [packed]]) == held_bytes(packed)


def test_a_model_in_bfloat16_tells_its_weights(tiny_en_directory: Path) -> None:
    _, _, info = load_speech_model(tiny_en_directory, device="cpu", dtype="bfloat16", slots=1)
    assert 75e6 < info.memory_bytes < 200e6, "37.8 million weights of 2 bytes, and a slot"
