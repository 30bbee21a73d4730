"""The two formats of model directories, transformers' and CTranslate2's, and the files that each consists of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.failures import translate_read_errors

Format = Literal["transformers", "ctranslate2"]

CTRANSLATE2_FILES = ("model.bin", "config.json", "tokenizer.json")

CONFIGURATION_PATTERNS = ("*.json", "*.txt")
"""Configurations, tokenizer and the index of weights, in both formats."""

WEIGHT_PATTERNS: dict[Format, tuple[tuple[str, ...], ...]] = {
    "transformers": (
        ("model.safetensors", "model-*-of-*.safetensors"),
        ("pytorch_model.bin", "pytorch_model-*-of-*.bin"),
    ),
    "ctranslate2": (("model.bin",),),
}
"""File names of weights: alternatives, the preferred one first."""


def directory_format(directory: Path) -> Format:
    """Return the format of `directory` according to its config.json; the weights are not opened.

    Raises ModelUnavailable when config.json cannot be read or describes a model that is not Whisper.
    """
    path = directory / "config.json"
    with translate_read_errors(str(path)):
        try:
            config = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            config = None
    if not isinstance(config, dict):
        raise ModelUnavailable(
            f"{directory} is not a Whisper model: its config.json is missing or is not a JSON object; "
            "give a directory written by transformers or CTranslate2"
        )
    model_type = config.get("model_type")
    if model_type is None:
        return "ctranslate2"  # Its config.json lists a few token ids and never a model type.
    if model_type != "whisper":
        raise ModelUnavailable(
            f"{directory} is a model of type {model_type!r:.100}; allowed: Whisper models of any size"
        )
    return "transformers"
