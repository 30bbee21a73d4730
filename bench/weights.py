"""The same weights in the format of each engine, converted once and cached."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Literal

from bench.ggml import convert_to_ggml
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.whisper.checkpoint.weights.cache import build_once
from hf_asr_endpoint.whisper.checkpoint.weights.embedded import EMBEDDED_MODELS, PREFIX, find_embedded
from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model

Format = Literal["reference", "transformers", "ctranslate2", "ggml"]

MODELS = tuple(f"{PREFIX}{name}" for name in EMBEDDED_MODELS)
VERSION = 1  # Part of the folder names. Increase it when the conversion changes, so that old folders are not used.


def prepare(model: str, format: Format) -> str:
    """Return the path from which an engine loads the embedded `model`; for this project the name itself."""
    directory = _transformers_directory(model)
    match format:
        case "reference":
            return model
        case "transformers":
            return str(directory)
        case "ctranslate2":
            return str(_build(directory, format, lambda target: _write_ctranslate2(model, directory, target)))
        case "ggml":
            built = _build(directory, format, lambda target: convert_to_ggml(directory, target / "model.bin"))
            return str(built / "model.bin")


def _transformers_directory(model: str) -> Path:
    return resolve_model(model, revision=None, cache_dir=Settings().cache_dir, report=lambda _: None)


def _build(source: Path, format: Format, write: Callable[[Path], None]) -> Path:
    return build_once(Settings().cache_dir / "bench" / f"{source.name}-{format}-v{VERSION}", write)


def _write_ctranslate2(model: str, converted: Path, target: Path) -> None:
    """Write a package's files in faster-whisper's layout, with the tokens of our conversion."""
    embedded = find_embedded(model)
    with (target / "model.bin").open("wb") as weights:
        for package, path in embedded.weights:
            weights.write(files(package).joinpath(path).read_bytes())
    for name, (package, path) in {"config.json": embedded.config, "tokenizer.json": embedded.tokenizer}.items():
        (target / name).write_bytes(files(package).joinpath(path).read_bytes())
    tokenizer = json.loads((converted / "tokenizer.json").read_bytes())
    tokens = {token_id: token for token, token_id in tokenizer["model"]["vocab"].items()}
    tokens |= {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    (target / "vocabulary.json").write_text(json.dumps([tokens[i] for i in sorted(tokens)]))
