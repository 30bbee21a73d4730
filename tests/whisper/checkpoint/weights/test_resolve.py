from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model
from tests.whisper.conftest import make_model_bin, read_files, replace_file


def resolve(reference: str | Path, cache_dir: Path, steps: list[str] | None = None) -> Path:
    report = [].append if steps is None else steps.append
    return resolve_model(str(reference), revision=None, cache_dir=cache_dir, report=report)


def refusal(reference: str | Path, cache_dir: Path) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        resolve(reference, cache_dir)
    return str(caught.value)


def make_directory(directory: Path, files: dict[str, bytes]) -> Path:
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def test_transformers_directory_is_returned_unchanged(tiny_en_directory: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    assert resolve(tiny_en_directory, tmp_path, steps) == tiny_en_directory
    assert steps == []
    assert list(tmp_path.iterdir()) == []


def test_ctranslate2_directory_is_converted(
    tiny_en_package: Path, tiny_en_directory: Path, tmp_path: Path
) -> None:
    source = tmp_path / "my-tiny.en"
    source.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (source / name).symlink_to(tiny_en_package / name)
    converted = resolve(source, tmp_path)
    assert converted.is_relative_to(tmp_path / "converted")
    assert converted.name.startswith("my-tiny.en-")
    assert read_files(converted) == read_files(tiny_en_directory)


def test_slow_steps_are_reported_before_they_begin(ctranslate2_directory: Path, tmp_path: Path) -> None:
    steps: list[str] = []

    def report(step: str) -> None:
        assert not (tmp_path / "converted").exists()
        steps.append(step)

    resolve_model(str(ctranslate2_directory), revision=None, cache_dir=tmp_path, report=report)
    assert steps == [f"the weights of {ctranslate2_directory.name} to be converted"]


def test_embedded_model_is_reported_and_converted(cache_dir: Path, tiny_en_directory: Path) -> None:
    steps: list[str] = []
    assert resolve("embedded:whisper-tiny.en", cache_dir, steps) == tiny_en_directory
    assert steps == ["the weights of embedded:whisper-tiny.en to be converted"]


def test_conversion_is_reused(ctranslate2_directory: Path, tmp_path: Path) -> None:
    first = resolve(ctranslate2_directory, tmp_path)
    (first / "mark").touch()
    assert resolve(ctranslate2_directory, tmp_path) == first
    assert (first / "mark").exists()


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
def test_changed_file_is_converted_again(ctranslate2_directory: Path, tmp_path: Path, name: str) -> None:
    """The cache once identified a directory by model.bin alone, so a corrected tokenizer.json had no effect."""
    first = resolve(ctranslate2_directory, tmp_path)
    status = (ctranslate2_directory / name).stat()
    os.utime(ctranslate2_directory / name, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    assert resolve(ctranslate2_directory, tmp_path) != first


def test_directories_with_the_same_name_are_cached_separately(ctranslate2_directory: Path, tmp_path: Path) -> None:
    other = shutil.copytree(ctranslate2_directory, tmp_path / "other" / ctranslate2_directory.name)
    assert resolve(other, tmp_path) != resolve(ctranslate2_directory, tmp_path)


def test_transformers_format_is_preferred_to_a_model_bin(tiny_en_directory: Path, tmp_path: Path) -> None:
    directory = tmp_path / "both"
    directory.mkdir()
    for path in tiny_en_directory.iterdir():
        (directory / path.name).symlink_to(path)
    (directory / "model.bin").write_bytes(make_model_bin({}))
    assert resolve(directory, tmp_path) == directory


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json"])
def test_incomplete_ctranslate2_directory_is_refused(
    ctranslate2_directory: Path, tmp_path: Path, name: str
) -> None:
    (ctranslate2_directory / name).unlink()
    message = refusal(ctranslate2_directory, tmp_path)
    assert f"lacks {name}; copy the whole CTranslate2 directory" in message
    assert not (tmp_path / "converted").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "model.bin is empty", id="empty"),
        pytest.param(
            b"\x06\0\0\0\x0c\0Whi", "is not a Whisper model in CTranslate2's format", id="truncated header"
        ),
        pytest.param(make_model_bin({})[:-1], "model.bin is damaged", id="truncated end"),
        pytest.param(
            b"ggml" + bytes(100), "is not a Whisper model in CTranslate2's format", id="another program's"
        ),
    ],
)
def test_damaged_model_bin_is_refused_and_leaves_nothing(
    ctranslate2_directory: Path, tmp_path: Path, content: bytes, reason: str
) -> None:
    replace_file(ctranslate2_directory / "model.bin", content)
    assert reason in refusal(ctranslate2_directory, tmp_path)
    assert [path.suffix for path in (tmp_path / "converted").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        pytest.param({}, "config.json is missing", id="empty directory"),
        pytest.param({"model.bin": make_model_bin({})}, "config.json is missing", id="weights alone"),
        pytest.param({"config.json": b"nonsense"}, "is not a JSON object", id="config that is not JSON"),
        pytest.param({"config.json": b"[]"}, "is not a JSON object", id="config that is a list"),
        pytest.param(
            {"config.json": b'{"model_type": "bert"}'},
            "type 'bert'; allowed: models that recognise speech",
            id="another model",
        ),
        pytest.param(
            {"config.json": b'{"model_type": []}'},
            "type []; allowed: models that recognise speech",
            id="type that is not a string",
        ),
        pytest.param({"config.json": b"{}"}, "lacks model.bin and tokenizer.json", id="empty config"),
    ],
)
def test_directory_without_a_whisper_model_is_refused(
    tmp_path: Path, files: dict[str, bytes], reason: str
) -> None:
    directory = make_directory(tmp_path / "model", files)
    message = refusal(directory, tmp_path)
    assert reason in message
    assert str(directory) in message


@pytest.mark.parametrize(
    "reference", ["/nonexistent/model", "./nonexistent", "a/b/c", "~nobody-of-this-name/model", "/a\0b"]
)
def test_missing_directory_is_refused(reference: str, tmp_path: Path) -> None:
    message = refusal(reference, tmp_path)
    assert f"model directory {reference!r} does not exist" in message
    assert "embedded:whisper-base" in message


def test_file_is_refused(tiny_en_directory: Path, tmp_path: Path) -> None:
    assert "does not exist" in refusal(tiny_en_directory / "model.safetensors", tmp_path)


def test_unreadable_config_is_not_reported_as_missing(tiny_en_directory: Path, tmp_path: Path) -> None:
    """A process out of file descriptors stands for any error that is not about the file's content."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        message = refusal(tiny_en_directory, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "config.json cannot be read" in message
    assert "Too many open files" in message


def test_unreadable_weights_are_not_reported_as_an_unwritable_cache(
    ctranslate2_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "model.bin")

    monkeypatch.setattr(np, "memmap", deny)
    message = refusal(ctranslate2_directory, tmp_path)
    assert "model.bin cannot be read" in message
    assert "--cache-dir" not in message


def test_tilde_means_the_home_directory(
    tiny_en_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tiny_en_directory.parent))
    assert resolve(f"~/{tiny_en_directory.name}", tmp_path) == tiny_en_directory


def test_directory_named_like_a_hub_model_is_used(
    tiny_en_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("openai").mkdir()
    Path("openai/whisper-tiny.en").symlink_to(tiny_en_directory)
    assert resolve("openai/whisper-tiny.en", tmp_path) == Path("openai/whisper-tiny.en")
