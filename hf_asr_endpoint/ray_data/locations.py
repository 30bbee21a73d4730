"""Recordings by their paths and URIs, opened by the file systems of pyarrow, which Ray Data reads with too.

Engines open them, not a dataset of bytes: a decoder reads as much as it needs when it needs it, so that a film of
many gigabytes takes no memory, and one file that cannot be read is the failure of one recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from urllib.parse import quote

from pyarrow import ArrowException
from pyarrow.fs import FileSelector, FileSystem, FileType

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.messages import hide_secrets

SEPARATOR = "://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A file below a URI. relative: its path below it; its name, if the URI is that of a file."""

    uri: str
    relative: str
    n_bytes: int


def is_uri(location: str) -> bool:
    return SEPARATOR in location


def open_location(location: str) -> BinaryIO:
    """Open a path or a URI for reading. Raises OSError, and InvalidParameter for a URI that is none."""
    if not is_uri(location):
        return open(location, "rb")
    filesystem, path = _resolve(location)
    return cast(BinaryIO, filesystem.open_input_file(path))


def list_location(uri: str, *, recursive: bool) -> Iterator[Located]:
    """Yield the files of a URI, by name; those of folders in it if `recursive`. Hidden ones are left out.

    Raises OSError, and InvalidParameter for a URI that is none, or at which nothing is.
    """
    filesystem, path = _resolve(uri)
    info = filesystem.get_file_info(path)
    if info.type == FileType.NotFound:
        raise InvalidParameter(f"{hide_secrets(uri)!r} does not exist; allowed: the URI of a file, or of a folder")
    if info.type == FileType.File:
        yield Located(uri=uri, relative=info.base_name, n_bytes=info.size)
        return
    # What the file system calls a path lacks the account, the host and the credentials of the URI.
    base, mark, query = uri.partition("?")
    folder = base if base.endswith("/") else f"{base}/"
    found = filesystem.get_file_info(FileSelector(path, recursive=recursive))
    for file in sorted(found, key=lambda one: str(one.path)):
        relative = file.path.removeprefix(path).lstrip("/")
        if file.type == FileType.File and not any(part.startswith(".") for part in relative.split("/")):
            yield Located(uri=f"{folder}{quote(relative)}{mark}{query}", relative=relative, n_bytes=file.size)


def _resolve(uri: str) -> tuple[Any, str]:
    try:
        filesystem, path = FileSystem.from_uri(uri)
    except (ArrowException, ValueError) as exc:
        raise InvalidParameter(
            f"{hide_secrets(uri)!r} cannot be opened ({hide_secrets(str(exc))}); allowed: URIs such as "
            "s3://bucket/calls or gs://bucket/calls"
        ) from exc
    return filesystem, path.rstrip("/") if len(path) > 1 else path
