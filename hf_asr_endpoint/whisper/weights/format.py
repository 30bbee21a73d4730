"""Tells what wrote a directory, transformers or CTranslate2, and refuses what is no Whisper model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from hf_asr_endpoint.errors import ModelUnavailable

Format = Literal["transformers", "ctranslate2"]


def directory_format(directory: Path) -> Format:
    """Return the format that the config.json of `directory` is written in; the weights are not looked at.

    Raises ModelUnavailable when there is none, or when it is of another model than Whisper.
    """
    try:
        model_type = json.loads((directory / "config.json").read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError) as exc:
        raise ModelUnavailable(
            f"{directory} holds no Whisper model: its config.json is missing or no JSON object; "
            "give a directory written by transformers or CTranslate2"
        ) from exc
    if model_type is None:
        return "ctranslate2"  # Its config.json has a few token ids and never a type.
    if model_type != "whisper":
        raise ModelUnavailable(
            f"{directory} holds a model of type {model_type!r}, not Whisper; "
            "allowed: Whisper checkpoints of any size"
        )
    return "transformers"
