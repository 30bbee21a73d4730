"""Arguments to recordings: files, folders, patterns and the standard input."""

from __future__ import annotations

import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.messages import hide_secrets

STDIN = "-"

AUDIO_SUFFIXES = frozenset({
    *(".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".asf", ".au", ".avi", ".caf", ".flac", ".flv"),
    *(".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg", ".mpga", ".oga"),
    *(".ogg", ".ogv", ".opus", ".rf64", ".snd", ".spx", ".ts", ".wav", ".weba", ".webm", ".wma", ".wmv", ".wv"),
})  # fmt: skip
"""Names of files that are taken from a folder. A file that is named itself may have any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recording to transcribe.

    path: of its file; "stdin" for the standard input. relative: its path below the folder that was given, which
    its outputs keep below --output. n_bytes: of the file, an estimate of how much work it is. open: opens it for
    reading from the beginning, once. uri: of a file in an object store, whose path is the relative one.
    """

    path: Path
    relative: Path
    n_bytes: int
    open: Callable[[], BinaryIO]
    is_stdin: bool = False
    uri: str | None = None

    @property
    def source(self) -> str:
        """Its URI or absolute path, by which other processes open it."""
        return self.uri or str(self.path.resolve())

    @property
    def location(self) -> str:
        """Its URI or absolute path, by which people know it."""
        return str(self.path.resolve()) if self.uri is None else hide_secrets(self.uri)

    @property
    def shown(self) -> str:
        """The path as one line of valid text."""
        return show_path(self.path) if self.uri is None else hide_secrets(self.uri)


def show_path(path: Path) -> str:
    """Return a path as one line of valid text: names of files may have any bytes."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "�" for character in text)


def find_recordings(arguments: Iterable[str], *, recursive: bool) -> list[Recording]:
    """Return the recordings that the arguments name, each once, in their order; those of a folder by name.

    recursive: look into folders in folders. Raises InvalidParameter for an argument that names nothing, OSError
    for a folder that cannot be read.
    """
    found: dict[Path, Recording] = {}
    for argument in arguments:
        for recording in _recordings(argument, recursive=recursive):
            found.setdefault(recording.path.resolve(), recording)
    return list(found.values())


def _recordings(argument: str, *, recursive: bool) -> Iterator[Recording]:
    if argument == STDIN:
        yield _read_stdin()
        return
    path = Path(argument)
    if path.is_dir():
        yield from _in_folder(path, recursive=recursive)
    elif path.exists():
        yield _recording(path, Path(path.name))
    else:
        # A pattern that the shell has left: it was quoted, or the shell expands none.
        matches = sorted(glob.glob(argument, recursive=True)) if glob.has_magic(argument) else []
        if not matches:
            raise InvalidParameter(
                f"{argument!r} does not exist; allowed: audio files, folders, patterns such as '*.mp3', or - for "
                "the standard input"
            )
        for match in matches:
            yield from _recordings(match, recursive=recursive)


def _in_folder(folder: Path, *, recursive: bool) -> Iterator[Recording]:
    is_empty = True
    for path in _files(folder, recursive=recursive):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            is_empty = False
            yield _recording(path, path.relative_to(folder))
    if is_empty:
        hint = "" if recursive else "; --recursive looks into its folders too"
        raise InvalidParameter(f"the folder {str(folder)!r} has no files with the name of an audio format{hint}")


def _files(folder: Path, *, recursive: bool) -> Iterator[Path]:
    """Yield a folder's files, then those of its folders. Hidden ones are left out, such as macOS's `._a.mp3`."""

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def _recording(path: Path, relative: Path) -> Recording:
    return Recording(path=path, relative=relative, n_bytes=path.stat().st_size, open=lambda: path.open("rb"))


def _read_stdin() -> Recording:
    """Return the standard input as a recording: it is read to its end, because decoders look for headers there."""
    if sys.stdin.isatty():
        raise InvalidParameter("- is the standard input, which is a terminal; allowed: hf-asr transcribe - < FILE")
    file = tempfile.TemporaryFile()  # noqa: SIM115 # Whoever opens the recording closes it.
    shutil.copyfileobj(sys.stdin.buffer, file)
    n_bytes = file.tell()
    file.seek(0)
    path = Path("stdin")
    return Recording(path=path, relative=path, n_bytes=n_bytes, open=lambda: cast(BinaryIO, file), is_stdin=True)
