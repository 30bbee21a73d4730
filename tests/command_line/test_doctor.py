"""`hf-asr doctor`: its report about this machine, and its advice about others."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hf_asr_endpoint.command_line.doctor.advice import advise
from hf_asr_endpoint.types import ModelInfo
from hf_asr_endpoint.whisper.machine import Machine
from tests.command_line.conftest import MODEL, run

MACHINE = Machine(
    processor="some",
    torch="2",
    levels=("avx512-vnni", "avx2"),
    devices=("cpu",),
    n_logical=16,
    n_cores=8,
    quota=None,
    n_threads=8,
    forced_threads=None,
    has_unused_gpu=False,
)
MODEL_INFO = ModelInfo(device="cpu", dtype="int8", is_multilingual=True, n_mels=80, cpu_level="avx512-vnni")
AS_USUAL: dict[str, Any] = {"load": 0.1, "is_cache_writable": True, "encoder_padding_s": 4.0, "slots": 16}


def test_the_report_names_what_runs_and_the_self_test_is_right(cache_dir: Path) -> None:
    result = run("doctor", "--model", MODEL, "--cache-dir", str(cache_dir))
    assert result.returncode == 0, result.stderr.decode()
    report = dict(line.split(maxsplit=1) for line in result.stdout.decode().splitlines())
    assert list(report)[:4] == ["version", "cache", "hub", "model"]
    assert report["cache"].startswith(f"{cache_dir}: converted ")
    assert re.fullmatch(rf"{re.escape(MODEL)}: English, .* MiB in memory, loaded in .* s", report["model"])
    assert "heard right; 16 at a time: " in report["self-test"]
    assert f"({len(os.sched_getaffinity(0))} logical processors" in report["cores"]
    assert report["faster"]


def test_a_model_that_cannot_be_loaded_is_said_and_the_rest_too(tmp_path: Path) -> None:
    result = run("doctor", "--model", str(tmp_path), "--cache-dir", str(tmp_path))
    report = result.stdout.decode()
    assert result.returncode == 1
    assert "FAILED" in report
    assert "is not a model" in report
    assert "processor" in report


def test_nothing_is_advised_where_nothing_helps() -> None:
    assert advise(MACHINE, MODEL_INFO, **AS_USUAL) == []


@pytest.mark.parametrize(
    ("machine", "model", "settings", "advice"),
    [
        pytest.param({"has_unused_gpu": True}, {}, {}, "install torch's build for CUDA", id="torch without CUDA"),
        pytest.param({"devices": ("cuda", "cpu")}, {}, {}, "there is a GPU: --devices cuda", id="unused device"),
        pytest.param({"levels": ()}, {}, {}, "no kernels run here", id="no kernels"),
        pytest.param({}, {"dtype": "float32"}, {}, "--dtype auto takes int8", id="dtype"),
        pytest.param({}, {"cpu_level": "avx2"}, {}, "avx512-vnni is faster: --cpu-level auto", id="level"),
        pytest.param(
            {"forced_threads": "OMP_NUM_THREADS", "n_threads": 1},
            {},
            {},
            "sets 1 threads, and 8 cores",
            id="threads",
        ),
        pytest.param({"quota": 1.5, "n_threads": 1}, {}, {}, "a quota allows 1.5 of 8 cores", id="quota"),
        pytest.param({}, {}, {"load": 12.0}, "want 12.0 of 16 logical processors", id="load"),
        pytest.param({}, {}, {"is_cache_writable": False}, "give another --cache-dir", id="cache"),
        pytest.param({}, {}, {"encoder_padding_s": 30.0}, "4 is faster for short audio", id="padding"),
        pytest.param({}, {}, {"slots": 2}, "--slots is 2: with 16", id="slots"),
    ],
)
def test_each_thing_that_slows_down_has_its_advice(
    machine: dict[str, Any], model: dict[str, Any], settings: dict[str, Any], advice: str
) -> None:
    (sentence,) = advise(replace(MACHINE, **machine), replace(MODEL_INFO, **model), **{**AS_USUAL, **settings})
    assert advice in sentence
