"""A checkpoint that was quantised by another library, and what is said where that library is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from hf_asr_endpoint.errors import ModelUnavailable
from tests.server import Server
from tests.transformers_models.conftest import TIMEOUT_S, loaded, post

SPOKEN = "ask not what your country can do for you"


def test_an_int8_whisper_is_served(served: Server, jfk: bytes) -> None:
    body = post(served, jfk, model="int8", response_format="verbose_json").json()
    assert SPOKEN in body["text"].lower().replace(",", "")
    models = requests.get(f"{served.url}/info", timeout=TIMEOUT_S).json()["models"]
    (info,) = (model["model"] for model in models if "int8" in model["names"])
    assert info["dtype"] == "bitsandbytes, float32"
    assert "because its weights are quantized" in info["engine_reason"]
    assert info["memory_bytes"] < 110e6, "in float32 it has 151 MB"


def test_a_missing_library_is_named(directories: dict[str, Path], cache_dir: Path, tmp_path: Path) -> None:
    for path in directories["ctc"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "quanto", "weights": "int8"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    message = r"needs a package that is not installed; .* \(`pip install optimum-quanto`\)"
    with pytest.raises(ModelUnavailable, match=message), loaded(tmp_path, cache_dir):
        pass


def test_an_adapter_is_not_left_out(directories: dict[str, Path], cache_dir: Path, tmp_path: Path) -> None:
    for path in directories["ctc"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "adapter_config.json").write_text("{}")
    with (
        pytest.raises(ModelUnavailable, match="has an adapter, and peft, which loads it, is not installed"),
        loaded(tmp_path, cache_dir),
    ):
        pass
