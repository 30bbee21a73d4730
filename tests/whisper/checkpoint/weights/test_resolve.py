from __future__ import annotations

import os
import shutil
from pathlib import Path

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


def test_transformers_directory_is_used_as_it_is(tiny_en_directory: Path, tmp_path: Path) -> None:
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
    assert steps == [f"{ctranslate2_directory / 'model.bin'} to be converted"]


def test_embedded_model_is_reported_and_converted(cache_dir: Path, tiny_en_directory: Path) -> None:
    steps: list[str] = []
    assert resolve("embedded:whisper-tiny.en", cache_dir, steps) == tiny_en_directory
    assert steps == ["the weights of embedded:whisper-tiny.en to be converted"]


def test_second_call_converts_nothing(ctranslate2_directory: Path, tmp_path: Path) -> None:
    first = resolve(ctranslate2_directory, tmp_path)
    (first / "mark").touch()
    assert resolve(ctranslate2_directory, tmp_path) == first
    assert (first / "mark").exists()


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
def test_changed_file_is_converted_anew(ctranslate2_directory: Path, tmp_path: Path, name: str) -> None:
    """Once the cache knew a directory by its model.bin alone: a mended tokenizer.json changed nothing."""
    first = resolve(ctranslate2_directory, tmp_path)
    status = (ctranslate2_directory / name).stat()
    os.utime(ctranslate2_directory / name, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    assert resolve(ctranslate2_directory, tmp_path) != first


def test_directories_of_one_name_do_not_meet_in_the_cache(ctranslate2_directory: Path, tmp_path: Path) -> None:
    other = shutil.copytree(ctranslate2_directory, tmp_path / "other" / ctranslate2_directory.name)
    assert resolve(other, tmp_path) != resolve(ctranslate2_directory, tmp_path)


def test_transformers_files_win_over_a_model_bin_beside_them(tiny_en_directory: Path, tmp_path: Path) -> None:
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
        pytest.param(b"\x06\0\0\0\x0c\0Whi", "no CTranslate2 Whisper model", id="cut off in the head"),
        pytest.param(make_model_bin({})[:-1], "model.bin is damaged", id="cut off at the end"),
        pytest.param(b"ggml" + bytes(100), "no CTranslate2 Whisper model", id="of another program"),
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
        pytest.param({"config.json": b"nonsense"}, "no JSON object", id="config that is no JSON"),
        pytest.param({"config.json": b"[]"}, "no JSON object", id="config that is a list"),
        pytest.param({"config.json": b'{"model_type": "bert"}'}, "type 'bert', not Whisper", id="another model"),
        pytest.param({"config.json": b'{"model_type": []}'}, "type [], not Whisper", id="type that is no text"),
        pytest.param({"config.json": b"{}"}, "lacks model.bin and tokenizer.json", id="config that says nothing"),
    ],
)
def test_directory_without_whisper_is_refused(tmp_path: Path, files: dict[str, bytes], reason: str) -> None:
    directory = make_directory(tmp_path / "model", files)
    message = refusal(directory, tmp_path)
    assert reason in message
    assert str(directory) in message


@pytest.mark.parametrize(
    "reference", ["/nonexistent/model", "./nonexistent", "a/b/c", "~nobody-of-this-name/model", "/a\0b"]
)
def test_path_that_does_not_exist_is_refused(reference: str, tmp_path: Path) -> None:
    message = refusal(reference, tmp_path)
    assert f"model directory {reference!r} does not exist" in message
    assert "embedded:whisper-base" in message


def test_file_is_no_directory(tiny_en_directory: Path, tmp_path: Path) -> None:
    assert "does not exist" in refusal(tiny_en_directory / "model.safetensors", tmp_path)


def test_home_is_found(tiny_en_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tiny_en_directory.parent))
    assert resolve(f"~/{tiny_en_directory.name}", tmp_path) == tiny_en_directory


def test_folder_that_looks_like_a_hub_name_is_used(
    tiny_en_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("openai").mkdir()
    Path("openai/whisper-tiny.en").symlink_to(tiny_en_directory)
    assert resolve("openai/whisper-tiny.en", tmp_path) == Path("openai/whisper-tiny.en")
