"""How many slots fit: by known GPUs' memory and known models' shapes."""

from __future__ import annotations

import pytest

from bench.gpu.shapes import LARGE, TURBO, Shape
from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.device.memory_plan import MAX_AUTO_SLOTS, plan_slots, slot_bytes

GB = 1_000_000_000
WEIGHTS = {TURBO.name: 1.62 * GB, LARGE.name: 3.09 * GB}
FREE = {"MIG 1g.10gb": 9.4 * GB, "T4": 15.4 * GB, "L4": 23.2 * GB, "H100": 84.4 * GB, "H200": 149.4 * GB}
"""Memory that a process finds free on an empty device."""


def free_beside_weights(device: str, shape: Shape) -> int:
    return int(FREE[device] - WEIGHTS[shape.name])


@pytest.mark.parametrize(
    ("device", "shape", "expected"),
    [
        ("MIG 1g.10gb", TURBO, MAX_AUTO_SLOTS),
        ("MIG 1g.10gb", LARGE, range(12, 18)),
        ("T4", TURBO, MAX_AUTO_SLOTS),
        ("T4", LARGE, range(28, 36)),
        ("L4", LARGE, range(50, 58)),
        ("H100", LARGE, MAX_AUTO_SLOTS),
        ("H200", LARGE, MAX_AUTO_SLOTS),
    ],
)
def test_slots_that_fit(device: str, shape: Shape, expected: int | range) -> None:
    free = free_beside_weights(device, shape)
    found = plan_slots(shape.config, wanted=None, free_bytes=free, width=2, n_windows=8)
    assert found in (expected if isinstance(expected, range) else [expected])
    assert found * slot_bytes(shape.config, width=2) < free


def test_more_slots_may_be_asked_for_than_are_taken_by_default() -> None:
    free = free_beside_weights("H100", TURBO)
    assert plan_slots(TURBO.config, wanted=256, free_bytes=free, width=2, n_windows=8) == 256


def test_bytes_of_a_slot() -> None:
    assert slot_bytes(TURBO.config, width=2) == pytest.approx(39.9e6, rel=1e-3)
    assert slot_bytes(LARGE.config, width=2) == pytest.approx(319e6, rel=1e-3)


def test_too_many_slots_are_refused_with_what_is_allowed() -> None:
    free = free_beside_weights("T4", LARGE)
    fitting = plan_slots(LARGE.config, wanted=None, free_bytes=free, width=2, n_windows=8)
    with pytest.raises(ModelUnavailable, match=rf"slots is 64, .* GB are free; allowed: up to {fitting}$"):
        plan_slots(LARGE.config, wanted=64, free_bytes=free, width=2, n_windows=8)


def test_a_model_without_room_for_a_single_slot_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match=r"slots is auto, .* choose a smaller model or device cpu"):
        plan_slots(LARGE.config, wanted=None, free_bytes=GB, width=2, n_windows=8)
