from __future__ import annotations

from pathlib import Path

import pytest

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.weights.embedded import EMBEDDED_MODELS
from hf_asr_endpoint.whisper.checkpoint.weights.reference import is_path, model_names


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        pytest.param(
            "embedded:whisper-base",
            ("openai/whisper-base", "whisper-base", "embedded:whisper-base"),
            id="embedded",
        ),
        pytest.param(
            "embedded:whisper-tiny.en",
            ("openai/whisper-tiny.en", "whisper-tiny.en", "embedded:whisper-tiny.en"),
            id="embedded with a dot",
        ),
        pytest.param("openai/whisper-large-v3", ("openai/whisper-large-v3", "whisper-large-v3"), id="Hub"),
        pytest.param("my-whisper", ("my-whisper",), id="Hub without an owner"),
        pytest.param("/models/mine", ("mine", "/models/mine"), id="absolute path"),
        pytest.param("./models/mine/", ("mine", "./models/mine/"), id="path with a closing slash"),
        pytest.param("a/b/c", ("c", "a/b/c"), id="deep relative path"),
        pytest.param("~/mine", ("mine", "~/mine"), id="home"),
        pytest.param("/", ("/",), id="root"),
        pytest.param(".", (".",), id="current directory"),
    ],
)
def test_clients_may_use_these_names(reference: str, names: tuple[str, ...]) -> None:
    assert model_names(reference) == names


def test_directory_named_like_a_hub_model_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_path("openai/whisper-base")
    Path("openai/whisper-base").mkdir(parents=True)
    assert is_path("openai/whisper-base")
    assert model_names("openai/whisper-base")[0] == "whisper-base"


@pytest.mark.parametrize("name", ["whisper-huge", "", "openai/whisper-base", "Whisper-Base"])
def test_unknown_embedded_model_is_refused_with_those_allowed(name: str) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        model_names(f"embedded:{name}")
    assert repr(f"embedded:{name}") in str(caught.value)
    for known in EMBEDDED_MODELS:
        assert f"embedded:{known}" in str(caught.value)
