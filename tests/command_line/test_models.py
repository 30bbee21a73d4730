"""`hf-asr models`: what is embedded, cached and named, and what a folder is worth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest

from hf_asr_endpoint.command_line.main import main
from hf_asr_endpoint.command_line.models import HUB_MODELS
from hf_asr_endpoint.whisper.checkpoint.weights.embedded import EMBEDDED_MODELS, _locate


@pytest.fixture
def ctranslate2(tmp_path: Path) -> Path:
    """A folder in CTranslate2's format, as faster-whisper's users have it."""
    folder = tmp_path / "faster-whisper-tiny.en"
    folder.mkdir()
    model = EMBEDDED_MODELS["whisper-tiny.en"]
    for location, name in (
        (model.weights[0], "model.bin"),
        (model.config, "config.json"),
        (model.tokenizer, "tokenizer.json"),
    ):
        (folder / name).symlink_to(_locate(model, *location))
    return folder


def test_all_sources_are_listed(
    tiny_en_directory: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "--cache-dir", str(cache_dir)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "embedded:whisper-tiny.en openai/whisper-tiny.en installed" in lines
    assert all(" ".join(row) in lines for row in HUB_MODELS)


def test_whisper_models_in_the_hubs_cache_are_listed(
    tmp_path: Path,
    tiny_en_directory: Path,
    cache_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, source in (("models--me--mine", tiny_en_directory), ("models--me--other", None)):
        snapshot = tmp_path / name / "snapshots" / ("0" * 40)
        snapshot.parent.mkdir(parents=True)
        if source is not None:
            shutil.copytree(source, snapshot, copy_function=lambda a, b: Path(b).symlink_to(a))
        else:
            snapshot.mkdir()
            (snapshot / "config.json").write_text(json.dumps({"model_type": "bert"}))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert main(["models", "--cache-dir", str(cache_dir)]) == 0
    output = capsys.readouterr().out
    assert "me/mine" in output
    assert "me/other" not in output


def test_a_folder_of_models_is_seen_as_the_loader_sees_it(
    ctranslate2: Path, tiny_en_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "transformers").symlink_to(tiny_en_directory)
    (tmp_path / "no model").mkdir()
    assert main(["models", str(tmp_path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        [str(ctranslate2), "CTranslate2", "72", "MiB"],
        [str(tmp_path / "transformers"), "transformers", "72", "MiB"],
    ]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        pytest.param("tokenizer.json", None, "lacks tokenizer.json", id="missing file"),
        pytest.param("model.bin", b"", "is empty", id="empty"),
        pytest.param("model.bin", b"\6\0\0\0\x0c\0WhisperSpec\0\3\0\0\0", "is damaged", id="cut off"),
        pytest.param("config.json", b'{"model_type": "bert"}', "a model of type 'bert'", id="another model"),
    ],
)
def test_a_folder_that_cannot_be_used_is_explained(
    ctranslate2: Path, name: str, content: bytes | None, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (ctranslate2 / name).unlink()
    if content is not None:
        (ctranslate2 / name).write_bytes(content)
    assert main(["models", str(ctranslate2)]) == 1
    assert f"cannot be used: {ctranslate2}" in (output := capsys.readouterr().out)
    assert problem in output


def test_a_folder_that_is_not_there_is_a_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "nothing"]) == 2
    assert "'nothing' is not a folder" in capsys.readouterr().err
