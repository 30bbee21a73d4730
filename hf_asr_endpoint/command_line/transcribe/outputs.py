"""The files of each recording: their names, whether they are there, and how they are written."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_asr_endpoint.command_line.transcribe.formats import Format
from hf_asr_endpoint.command_line.transcribe.inputs import AUDIO_SUFFIXES, Recording
from hf_asr_endpoint.errors import InvalidParameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A file to write; without a path, the standard output."""

    format: Format
    path: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A recording and the files that it lacks; none where everything is there."""

    recording: Recording
    targets: tuple[Target, ...]


def plan(
    recordings: Sequence[Recording], formats: Sequence[Format], *, folder: Path | None, overwrites: bool
) -> list[Work]:
    """Return the work for each recording, in order.

    folder: for all files; None: each file beside its recording, and that of the standard input on the standard
    output. overwrites: files that are there are written again. Raises InvalidParameter where two recordings would
    have the same file.
    """
    if folder is None and formats and (stored := [one.shown for one in recordings if one.uri is not None]):
        raise InvalidParameter(f"the texts of {stored[0]} need a folder of this machine; give --output")
    bases = [_base(recording, folder) for recording in recordings]
    names = Counter(map(_without_suffix, bases))
    owners: dict[Path, Recording] = {}
    works = []
    for recording, base in zip(recordings, bases, strict=True):
        if recording.is_stdin and folder is None:
            works.append(Work(recording=recording, targets=_on_stdout(formats)))
            continue
        # talk.mp3 and talk.wav in one folder keep their suffixes: talk.mp3.srt, talk.wav.srt.
        short = _without_suffix(base)
        stem = base if names[short] > 1 else short
        paths = [(name, stem.with_name(f"{stem.name}.{name}")) for name in formats]
        for _, path in paths:
            if (owner := owners.setdefault(path, recording)) is not recording:
                raise InvalidParameter(
                    f"{owner.shown} and {recording.shown} would both be written to {path}; give their folder "
                    "instead of the files, or run twice with two --output"
                )
        lacking = [Target(format=name, path=path) for name, path in paths if overwrites or not path.exists()]
        works.append(Work(recording=recording, targets=tuple(lacking)))
    return works


def write(texts: Iterable[tuple[Target, str]]) -> None:
    """Write a recording's files. Each is there as a whole or not at all, whenever this process ends."""
    for target, text in texts:
        if target.path is None:
            sys.stdout.buffer.write(text.encode())
            sys.stdout.buffer.flush()
        else:
            _write_file(target.path, text.encode())


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name: what a killed process has left is overwritten by the next one.
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # After a power cut, a file that is there must not lack its content.
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _base(recording: Recording, folder: Path | None) -> Path:
    return recording.path if folder is None else folder / recording.relative


def _without_suffix(path: Path) -> Path:
    """Return a path without the suffix of an audio format: other dots belong to the name."""
    return path.with_suffix("") if path.suffix.lower() in AUDIO_SUFFIXES else path


def _on_stdout(formats: Sequence[Format]) -> tuple[Target, ...]:
    if len(formats) > 1:
        raise InvalidParameter(
            f"--format is {','.join(formats)}, and the text of the standard input goes to the standard output; "
            "allowed: one format, or --output FOLDER"
        )
    return (Target(format=formats[0], path=None),)
