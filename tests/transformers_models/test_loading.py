"""Which engine computes which model, and what cannot be loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.loading import choose_engine
from hf_asr_endpoint.setting_types import EngineChoice
from tests.transformers_models.conftest import loaded

NATIVE_START = """
import sys
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.loading import load_transcriber
from hf_asr_endpoint.model_choice import choose_models
settings = Settings(model=(sys.argv[1],), cache_dir=sys.argv[2], dtype="float32", slots=1)
transcriber = load_transcriber(choose_models(settings)[0], settings, lambda _: None)
print([name for name in ("transformers", "accelerate", "librosa", "torch._dynamo") if name in sys.modules])
transcriber.close()
"""


@pytest.mark.parametrize(
    ("wanted", "config", "engine", "reason"),
    [
        ("auto", {}, "native", "it is a Whisper model that the native engine computes"),
        ("auto", {"activation_function": "relu"}, "transformers", "its activation is 'relu'; allowed: 'gelu'"),
        ("auto", {"quantization_config": {"quant_method": "any"}}, "transformers", "its weights are quantized"),
        ("auto", {"model_type": "wav2vec2"}, "transformers", "it is of type 'wav2vec2', not whisper"),
        ("transformers", {}, "transformers", "--engine is transformers"),
        ("native", {"model_type": "wav2vec2"}, "native", "--engine is native"),
    ],
)
def test_the_engine_is_chosen_by_the_configuration(
    tiny_en_directory: Path,
    tmp_path: Path,
    wanted: EngineChoice,
    config: dict[str, object],
    engine: str,
    reason: str,
) -> None:
    original = json.loads((tiny_en_directory / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**original, **config}))
    chosen, why = choose_engine(wanted, tmp_path)
    assert chosen == engine
    assert reason in why


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("ctc", {"engine": "native"}, "the native engine cannot compute .* it is of type 'wav2vec2', not whisper"),
        (
            "ctc",
            {"dtype": "int8"},
            "dtype int8 is for the native engine; allowed with the transformers engine: auto",
        ),
        ("ctc", {"cpu_level": "avx2"}, "cpu level 'avx2' is for the native engine"),
        ("ctc", {"preparation_processes": 2}, "--preparation-processes is 2, but .* allowed: auto, 0"),
    ],
)
def test_settings_that_do_not_fit_the_engine_are_refused(
    directories: dict[str, Path], cache_dir: Path, kind: str, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ModelUnavailable, match=message), loaded(directories[kind], cache_dir, **settings):
        pass


@pytest.mark.parametrize(
    ("model_type", "message"),
    [
        ("bert", "is a model of type 'bert'; allowed: models that recognise speech"),
        ("voxtral", "has a prompt that mistral-common makes, not transformers; allowed: Whisper, CTC models"),
        ("qwen2_audio", "needs a prompt of its own .* and SeamlessM4T, and canary, glmasr"),
        ("dia", "which makes sound and no text"),
    ],
)
def test_models_that_are_not_served_are_refused_with_the_reason(
    cache_dir: Path, tmp_path: Path, model_type: str, message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(ModelUnavailable, match=message), loaded(tmp_path, cache_dir):
        pass


def test_the_native_engine_starts_without_transformers(tiny_en_directory: Path, cache_dir: Path) -> None:
    """Its import and its model take three seconds and 140 MB."""
    command = [sys.executable, "-c", NATIVE_START, str(tiny_en_directory), str(cache_dir)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=dict(os.environ))
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("kind", "is_multilingual"),
    [("seamless", True), ("canary", True), ("qwen", True), ("glm", False), ("moonshine", False), ("ctc", False)],
)
def test_a_model_is_multilingual_if_it_can_be_told_several_languages(
    directories: dict[str, Path], cache_dir: Path, kind: str, is_multilingual: bool
) -> None:
    with loaded(directories[kind], cache_dir) as transcriber:
        info = transcriber.health().model
    assert info is not None
    assert info.is_multilingual == is_multilingual
    assert ("de" in info.languages) == is_multilingual
