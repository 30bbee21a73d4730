"""Turns the value of `--model` into a local directory in transformers' format.

Decides where the model comes from and whether it must be converted; the other files of this folder do the work.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.failures import translate_read_errors
from hf_asr_endpoint.whisper.checkpoint.weights.cache import build_once
from hf_asr_endpoint.whisper.checkpoint.weights.conversion import CONVERSION_VERSION, convert_directory
from hf_asr_endpoint.whisper.checkpoint.weights.embedded import PREFIX, convert_embedded
from hf_asr_endpoint.whisper.checkpoint.weights.formats import CTRANSLATE2_FILES, directory_format
from hf_asr_endpoint.whisper.checkpoint.weights.hub import download
from hf_asr_endpoint.whisper.checkpoint.weights.reference import is_path


def resolve_model(reference: str, *, revision: str | None, cache_dir: Path, report: Callable[[str], None]) -> Path:
    """Return a directory in transformers' format with the model that `reference` names.

    reference: "embedded:NAME", a local directory in transformers' or CTranslate2's format, or a name on the Hub.
    report: called before each slow step with the words that follow "waiting for" in the log.
    Raises ModelUnavailable, whose message says what to do.
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
    """Return `directory`, or its conversion if it is in CTranslate2's format."""
    if directory_format(directory) == "transformers":
        return directory
    if missing := [name for name in CTRANSLATE2_FILES if not (directory / name).is_file()]:
        raise ModelUnavailable(
            f"{directory} lacks {' and '.join(missing)}; copy the whole CTranslate2 directory: "
            f"{', '.join(CTRANSLATE2_FILES)} (config.json has no model_type, so this is not transformers' format)"
        )
    report(f"the weights of {directory.name} to be converted")
    target = cache_dir / "converted" / f"{directory.name}-{_fingerprint(directory)}-v{CONVERSION_VERSION}"
    return build_once(target, lambda partial: convert_directory(directory, partial))


def _fingerprint(directory: Path) -> str:
    """Return a hash that changes when a file is replaced; reading gigabytes at every start would take too long."""
    digest = hashlib.sha256()
    with translate_read_errors(f"the model in {directory}"):
        for name in CTRANSLATE2_FILES:
            real = (directory / name).resolve()
            status = real.stat()
            digest.update(f"{real}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:12]
