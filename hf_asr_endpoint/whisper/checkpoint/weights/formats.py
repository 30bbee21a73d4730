"""The two formats of model directories, transformers' and CTranslate2's, and the files that each consists of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.failures import translate_read_errors

Format = Literal["transformers", "ctranslate2"]

CTRANSLATE2_FILES = ("model.bin", "config.json", "tokenizer.json")

CONFIGURATION_PATTERNS = ("*.json", "*.txt", "*.model", "*.jinja", "adapter_model.safetensors")
"""Configurations, tokenizer, chat template, index of weights, in both formats; and an adapter, which is small."""

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

    Raises ModelUnavailable when config.json cannot be read or describes a model that does not recognise speech.
    """
    path = directory / "config.json"
    with translate_read_errors(str(path)):
        try:
            config = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            config = None
    if not isinstance(config, dict):
        raise ModelUnavailable(
            f"{directory} is not a model: its config.json is missing or is not a JSON object; "
            "give a directory written by transformers or CTranslate2"
        )
    model_type = config.get("model_type")
    if model_type is None:
        return "ctranslate2"  # Its config.json lists a few token ids and never a model type.
    if model_type != "whisper" and model_type not in _speech_recognition_types():
        raise ModelUnavailable(
            f"{directory} is a model of type {model_type!r:.100}; allowed: models that recognise speech, such as "
            "whisper, wav2vec2 and moonshine"
        )
    return "transformers"


def _speech_recognition_types() -> list[str]:
    # Imported here because the import takes seconds, and Whisper does not need it.
    from transformers.models.auto import modeling_auto as auto

    images = auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.keys()
    return [
        *auto.MODEL_FOR_CTC_MAPPING_NAMES,
        *auto.MODEL_FOR_TDT_MAPPING_NAMES,
        *auto.MODEL_FOR_RNNT_MAPPING_NAMES,
        *auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
        *(auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES.keys() - images),
    ]
