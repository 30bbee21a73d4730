"""From what `--model` says to a transformers directory, downloading and converting as needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.weights.cache import build_once
from hf_asr_endpoint.whisper.weights.catalogue import PREFIX, is_path
from hf_asr_endpoint.whisper.weights.conversion import CONVERSION_VERSION, convert_directory
from hf_asr_endpoint.whisper.weights.ctranslate2 import is_whisper_model
from hf_asr_endpoint.whisper.weights.embedded import convert_embedded
from hf_asr_endpoint.whisper.weights.hub import download

N_HEAD_BYTES = 64  # enough of a model.bin to tell what it is


def resolve_model(reference: str, *, revision: str | None, cache_dir: Path, report: Callable[[str], None]) -> Path:
    """Return a transformers directory with the weights that `reference` names.

    reference: "embedded:NAME", a local directory (transformers' format or CTranslate2's), or a Hub id.
    report: told what is being waited for, in a few words, before each step that takes time.
    Raises ModelUnavailable with a sentence that says what to do.
    """
    if reference.startswith(PREFIX):
        report(f"the weights of {reference} to be converted")
        return convert_embedded(reference, cache_dir=cache_dir)
    if is_path(reference):
        directory = Path(reference).expanduser()
        if not directory.is_dir():
            raise ModelUnavailable(
                f"model directory {reference!r} does not exist; give a directory, a name on the Hub such as "
                "openai/whisper-base, or embedded:whisper-base"
            )
    else:
        report(f"{reference} to be downloaded")
        directory = download(reference, revision=revision)
    return _transformers_directory(directory, cache_dir=cache_dir, report=report)


def _transformers_directory(directory: Path, *, cache_dir: Path, report: Callable[[str], None]) -> Path:
    weights = directory / "model.bin"
    if weights.is_file():
        with weights.open("rb") as file:
            head = file.read(N_HEAD_BYTES)
        if is_whisper_model(head):
            report(f"{weights} to be converted")
            target = cache_dir / "converted" / f"{directory.name}-{_fingerprint(weights)}-v{CONVERSION_VERSION}"
            return build_once(target, lambda partial: convert_directory(directory, partial))
    _require_whisper(directory)
    return directory


def _fingerprint(path: Path) -> str:
    """Changes when the file does, without gigabytes being read at every start."""
    real = path.resolve()
    status = real.stat()
    return hashlib.sha256(f"{real}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()[:12]


def _require_whisper(directory: Path) -> None:
    config = directory / "config.json"
    try:
        model_type = json.loads(config.read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError) as exc:
        raise ModelUnavailable(
            f"{directory} holds no Whisper model: its config.json is missing or no JSON object; "
            "give a directory written by transformers or CTranslate2"
        ) from exc
    if model_type != "whisper":
        raise ModelUnavailable(
            f"{directory} holds a model of type {model_type!r}, not Whisper; "
            "allowed: Whisper checkpoints of any size"
        )
