"""From what `--model` says to a transformers directory, downloading and converting as needed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.weights.cache import build_once
from hf_asr_endpoint.whisper.checkpoint.weights.conversion import CONVERSION_VERSION, convert_directory
from hf_asr_endpoint.whisper.checkpoint.weights.embedded import PREFIX, convert_embedded, is_path
from hf_asr_endpoint.whisper.checkpoint.weights.hub import directory_format, download

CTRANSLATE2_FILES = ("model.bin", "config.json", "tokenizer.json")


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
        directory = Path(os.path.expanduser(reference))  # Path.expanduser raises for an unknown user.
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
    if directory_format(directory) == "transformers":
        return directory
    if missing := [name for name in CTRANSLATE2_FILES if not (directory / name).is_file()]:
        raise ModelUnavailable(
            f"{directory} lacks {' and '.join(missing)}; copy the whole CTranslate2 directory: "
            f"{', '.join(CTRANSLATE2_FILES)} (its config.json names no model_type, as transformers' would)"
        )
    report(f"the weights of {directory.name} to be converted")
    target = cache_dir / "converted" / f"{directory.name}-{_fingerprint(directory)}-v{CONVERSION_VERSION}"
    return build_once(target, lambda partial: convert_directory(directory, partial))


def _fingerprint(directory: Path) -> str:
    """Changes when a file does, without gigabytes being read at every start."""
    digest = hashlib.sha256()
    for name in CTRANSLATE2_FILES:
        real = (directory / name).resolve()
        status = real.stat()
        digest.update(f"{real}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:12]
