from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hf_asr_endpoint.config import Settings, flag_of, variable_of
from hf_asr_endpoint.errors import InvalidSettings
from hf_asr_endpoint.platform_variables import platform_settings
from hf_asr_endpoint.read_settings import read_settings
from hf_asr_endpoint.settings_table import default_of, settings_table
from hf_asr_endpoint.user_folders import data_folder

PLATFORM_VARIABLES = ("HF_MODEL_ID", "HF_MODEL_DIR", "HF_REVISION", "PORT", "XDG_CACHE_HOME", "XDG_DATA_HOME")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any variable that is a setting."""
    for name in (*map(variable_of, Settings.model_fields), *PLATFORM_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_default_values() -> None:
    settings = Settings()
    assert settings.model == ("embedded:whisper-base",)
    assert settings.max_audio_bytes == 100 * 2**20
    assert settings.max_audio_s == 6 * 3600
    assert settings.cache_dir == Path("~/.cache/hf-asr-endpoint").expanduser()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("model", "openai/whisper-tiny", ("openai/whisper-tiny",)),
        ("model", "a/b, embedded:x", ("a/b", "embedded:x")),
        ("max_model_bytes", "2GiB", 2 * 2**30),
        ("load_models", "first-use", "first-use"),
        ("served_model_names", "a, b/c,", ("a", "b/c")),
        ("cors_origins", "https://App.example/, http://[::1]:3000", ("https://app.example", "http://[::1]:3000")),
        (
            "cors_origins",
            "https://a.example:443,http://a.example:443",
            ("https://a.example", "http://a.example:443"),
        ),
        ("cors_origins", "*", ("*",)),
        ("open_paths", "/info", ("/info",)),
        ("open_paths", "none", ()),
        ("root_path", "/whisper/", "/whisper"),
        ("root_path", "/", ""),
        ("port", "9000", 9000),
        ("max_audio_bytes", "25MiB", 25 * 2**20),
        ("max_audio_bytes", "1000", 1000),
        ("max_audio_s", "12.5", 12.5),
        ("cache_dir", "/var/cache/x", Path("/var/cache/x")),
        ("devices", "cpu", ("cpu",)),
        ("devices", "cpu, cpu", ("cpu", "cpu")),
        ("devices", "cuda:0,GPU-8932f937-d72c", ("cuda:0", "GPU-8932f937-d72c")),
        ("devices", "MIG-GPU-8932f937/1/0,MIG-c7384736-a75d", ("MIG-GPU-8932f937/1/0", "MIG-c7384736-a75d")),
    ],
)
def test_variables_and_flags_are_parsed_alike(
    environment: pytest.MonkeyPatch, name: str, text: str, value: Any
) -> None:
    assert getattr(Settings(**{name: text}), name) == value
    environment.setenv(variable_of(name), text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cors_origins", "app.example"),
        ("cors_origins", "https://app.example/page"),
        ("cors_origins", "https://app.example:65536"),
        ("open_paths", "/v1/models"),
        ("root_path", "whisper"),
        ("root_path", "https://example.com/whisper"),
        ("root_path", "//"),
        ("cors_origins", "https://*.example"),
        ("port", "eighty"),
        ("port", "70000"),
        ("max_audio_bytes", "0"),
        ("max_audio_s", "-1"),
        ("max_concurrent_requests", "0"),
        ("devices", "tpu"),
        ("devices", "gpu"),
        ("devices", ","),
        ("devices", "auto,cpu"),
        ("devices", "cuda,cuda:1"),
        ("devices", "cpu,cuda:1"),
        ("devices", "mps,mps"),
        ("devices", "cuda:0,cuda:0"),
        ("devices", "cuda:-1"),
        ("devices", "cuda:01"),
        ("devices", "MIG-"),
        ("log_level", "loud"),
        ("model", ""),
    ],
)
def test_bad_values_are_refused(name: str, text: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: text})


@pytest.mark.parametrize("name", ["api_keys", "api_keys_file", "open_paths"])
def test_an_empty_variable_does_not_open_the_server(environment: pytest.MonkeyPatch, name: str) -> None:
    """Such as `${KEYS}` of a container's file, if it is not set there."""
    environment.setenv(variable_of(name), " ")
    with pytest.raises(InvalidSettings, match=f"{variable_of(name)} is empty"):
        read_settings({})


SECRET = "whsec_" + "c2VjcmV0" * 4


@pytest.mark.parametrize("text", [SECRET, SECRET.removeprefix("whsec_")])
def test_the_secret_is_never_shown(environment: pytest.MonkeyPatch, text: str) -> None:
    environment.setenv("HF_ASR_WEBHOOK_SECRET", text)
    settings = Settings()
    assert settings.webhook_secret is not None
    assert settings.webhook_secret.get_secret_value() == text
    assert "c2VjcmV0" not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize("text", ["whsec_", "short", "not base64!" * 4, "c2VjcmV0" * 20])
def test_a_bad_secret_is_refused(environment: pytest.MonkeyPatch, text: str) -> None:
    environment.setenv("HF_ASR_WEBHOOK_SECRET", text)
    with pytest.raises(ValidationError, match="base64 of 24 to 64 bytes"):
        Settings()


def test_the_data_folder_follows_the_xdg_specification(environment: pytest.MonkeyPatch) -> None:
    assert data_folder() == Path("~/.local/share/hf-asr-endpoint").expanduser()
    environment.setenv("XDG_DATA_HOME", "/elsewhere")
    assert data_folder() == Path("/elsewhere/hf-asr-endpoint")


def test_flags_win_over_variables_and_variables_over_the_platforms(
    environment: pytest.MonkeyPatch, model_dir: Path
) -> None:
    environment.setenv("HF_MODEL_ID", "platform/id")
    assert Settings().model == ("platform/id",)
    environment.setenv("HF_MODEL_DIR", str(model_dir))
    assert Settings().model == (str(model_dir),)
    environment.setenv("HF_ASR_MODEL", "own/variable")
    assert Settings().model == ("own/variable",)
    assert Settings(model="flag").model == ("flag",)


def test_a_model_dir_without_a_model_is_ignored(tmp_path: Path) -> None:
    """The endpoints' container always sets it, even when nothing is mounted there."""
    assert platform_settings({"HF_MODEL_ID": "a/b", "HF_MODEL_DIR": str(tmp_path)}) == {"model": "a/b"}


def test_the_platforms_port_and_revision_are_settings(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "80")
    environment.setenv("HF_REVISION", "main")
    assert (Settings().port, Settings().revision) == (80, "main")
    environment.setenv("HF_ASR_PORT", "81")
    assert Settings().port == 81


def test_an_empty_variable_is_ignored(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HF_ASR_PORT", "")
    environment.setenv("PORT", "")
    assert Settings().port == 8000


def test_the_cache_folder_follows_the_xdg_specification(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert Settings().cache_dir == Path("/elsewhere/hf-asr-endpoint")


def test_the_table_has_a_row_for_each_setting() -> None:
    rows = settings_table().splitlines()[2:]
    assert len(rows) == len(Settings.model_fields)
    for row, (name, field) in zip(rows, Settings.model_fields.items(), strict=True):
        assert flag_of(name) in row
        assert variable_of(name) in row
        assert default_of(name) in row
        assert field.description
        assert field.description in row
