"""Which kernels run: chosen by the processor, or forced, and refused where they cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.kernels import processor
from hf_asr_endpoint.whisper.kernels.processor import LEVELS, Level, choose_level, levels
from hf_asr_endpoint.whisper.loading import load_speech_model


@pytest.fixture
def reported(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that reports some levels."""
    monkeypatch.setattr(processor, "levels", lambda: request.param)


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (("amx", "avx512-bf16", "avx512-vnni", "avx2"), "amx"),
        (("avx512-bf16", "avx512-vnni", "avx2"), "avx512-bf16"),
        (("avx512-vnni", "avx2"), "avx512-vnni"),
        (("avx2",), "avx2"),
        (("neon-i8mm", "neon-dotprod"), "neon-i8mm"),
        (("neon-dotprod",), "neon-dotprod"),
        ((), None),
    ],
    indirect=["reported"],
)
@pytest.mark.usefixtures("reported")
def test_auto_is_the_fastest_level_that_the_processor_reports(expected: Level | None) -> None:
    assert choose_level("auto") == expected
    assert choose_level("none") is None


@pytest.mark.parametrize("allows", [True, False])
def test_amx_needs_a_system_that_gives_its_registers(monkeypatch: pytest.MonkeyPatch, allows: bool) -> None:
    for name in ("_is_vnni_supported", "_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_int8": True, "amx_bf16": True}, raising=False)
    monkeypatch.setattr(torch.cpu, "_init_amx", lambda: allows)
    monkeypatch.setattr(processor, "find_openmp", lambda: object())
    assert ("amx" in processor.levels.__wrapped__()) == allows


@pytest.mark.parametrize(
    ("cpu_name", "expected"),
    [("Intel Xeon", ["avx512-vnni", "avx512-bf16"]), ("AMD EPYC", ["avx512-bf16", "avx512-vnni"]), ("", None)],
)
def test_intels_processors_without_amx_prefer_integers_to_bfloat16(
    monkeypatch: pytest.MonkeyPatch, cpu_name: str, expected: list[Level] | None
) -> None:
    """`vdpbf16ps` has a quarter of the speed of `vpdpwssd` there (a window takes 1.4 times as long).

    A system older than Linux 5.16 gives no process the registers of AMX.
    """
    for name in ("_is_vnni_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": cpu_name}, raising=False)
    monkeypatch.setattr(processor, "find_openmp", lambda: object())
    assert list(processor.levels.__wrapped__()[:2]) == (expected or ["avx512-bf16", "avx512-vnni"])


@pytest.mark.parametrize("reported", [("avx512-vnni", "avx2")], indirect=True)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "avx512-bf16",
            "level 'avx512-bf16'; allowed here: auto, avx512-vnni, avx2, none",
        ),
        ("neon-dotprod", "lacks the .* level 'neon-dotprod'; allowed here: auto, avx512-vnni, avx2, none"),
        ("neon-i8mm", "lacks the .* level 'neon-i8mm'; allowed here: auto, avx512-vnni, avx2, none"),
    ],
)
@pytest.mark.usefixtures("reported")
def test_levels_that_cannot_run_are_refused(name: str, message: str) -> None:
    assert choose_level("avx2") == "avx2"
    with pytest.raises(ModelUnavailable, match=message):
        choose_level(name)


def test_the_setting_allows_all_levels_and_no_others() -> None:
    allowed = get_args(Settings.model_fields["cpu_level"].annotation)
    assert set(allowed) == {"auto", "none", *LEVELS}


@pytest.mark.skipif(not levels(), reason="no kernels run on this processor")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cpu", "dtype": "float32"}, "has no kernels for dtype float32; allowed: auto, none"),
        ({"device": "cpu", "dtype": "float16"}, "has no kernels for dtype float16; allowed: auto, none"),
        ({"device": "cpu", "dtype": "bfloat16"}, "has no kernels for dtype bfloat16; choose dtype int8"),
    ],
)
def test_a_forced_level_is_never_ignored(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelUnavailable, match=message):
        load_speech_model(tmp_path, slots=1, cpu_level=levels()[-1], **options)


def test_none_computes_with_torchs_operators(tiny_en_directory: Path) -> None:
    info = load_speech_model(tiny_en_directory, device="cpu", dtype="auto", slots=1, cpu_level="none")[2]
    assert info.cpu_level is None
    assert info.dtype in ("float32", "bfloat16")


@pytest.mark.skipif(not levels(), reason="no kernels run on this processor")
def test_a_forced_level_is_used(tiny_en_directory: Path, cache_dir: Path) -> None:
    """On a processor that has a faster one, too: its dtype then differs."""
    model, _, info = load_speech_model(
        tiny_en_directory, device="cpu", dtype="auto", slots=1, cpu_level=levels()[-1], cache_dir=cache_dir
    )
    assert (info.cpu_level, info.dtype) == (levels()[-1], "int8")
    assert model._dtype == torch.float32
