"""What a model directory is, without loading it: its format, its size, and why it cannot be used, if so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.failures import translate_read_errors
from hf_asr_endpoint.whisper.checkpoint.weights.ctranslate2 import read_model
from hf_asr_endpoint.whisper.checkpoint.weights.formats import (
    CTRANSLATE2_FILES,
    WEIGHT_PATTERNS,
    Format,
    directory_format,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """format: None where the directory is no Whisper model. problem: why it cannot be used; None if it can.

    n_bytes: of its weights, in the files that would be read.
    """

    format: Format | None
    n_bytes: int = 0
    problem: str | None = None


def inspect_directory(directory: Path) -> Inspection:
    """Return what the loader would make of a directory: it is opened, and no weight is read."""
    try:
        found = directory_format(directory)
    except ModelUnavailable as exc:
        return Inspection(format=None, problem=str(exc))
    try:
        return Inspection(format=found, n_bytes=_check(directory, found))
    except ModelUnavailable as exc:
        return Inspection(format=found, problem=str(exc))


def _check(directory: Path, found: Format) -> int:
    """Return the number of the weights' bytes. Raises ModelUnavailable."""
    if found == "ctranslate2":
        if missing := [name for name in CTRANSLATE2_FILES if not (directory / name).is_file()]:
            raise ModelUnavailable(f"{directory} lacks {' and '.join(missing)}")
        path = directory / "model.bin"
        with translate_read_errors(str(path)):
            if not path.stat().st_size:  # An empty file cannot be mapped.
                raise ModelUnavailable(f"{path} is empty; copy or download it again")
            read_model(np.memmap(path, dtype=np.uint8, mode="r").data, origin=str(path))
            return path.stat().st_size
    for patterns in WEIGHT_PATTERNS[found]:
        if files := [path for pattern in patterns for path in directory.glob(pattern)]:
            with translate_read_errors(str(directory)):
                return sum(path.stat().st_size for path in files)
    raise ModelUnavailable(f"{directory} has no weights; download or copy the whole directory")
