"""The audio files of unfinished jobs, in a folder. A file is complete, or it does not exist.

Knows ids and bytes; does not know jobs or audio formats. `bucket.py` does the same with object storage.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path
from typing import BinaryIO, Protocol

from hf_asr_endpoint.errors import AudioLost, StorageFailed
from hf_asr_endpoint.jobs.data_directory import OWNER_ONLY, sync_directory

logger = logging.getLogger(__name__)

FOLDER = "audio"
"""The folder of the audio of a single server."""
LOST = "the job's audio does not exist any more; send the job again"
_PARTIAL_SUFFIX = ".part"
_BLOCK_BYTES = 2**20


def folder_of(table_id: str) -> str:
    """Return the folder of a table that servers share: a table's sweeps delete audio without a job in it."""
    return f"{FOLDER}-{table_id}"


class AudioFiles(Protocol):
    """One file for each job, named by the job's id. All methods block."""

    def add(self, job_id: str, audio: BinaryIO) -> None:
        """Copy audio, from its current position to its end. The copy is safe when this returns.

        Raises StorageFailed; then no file is left.
        """
        ...

    def open(self, job_id: str) -> BinaryIO:
        """Open a job's audio at its beginning. The caller closes it.

        Raises AudioLost if it does not exist, StorageFailed if it cannot be read from here now.
        """
        ...

    def remove(self, job_id: str) -> None:
        """Delete a job's audio, if it exists. If the deletion fails, a sweep repeats it."""
        ...

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file by its name, also of incomplete copies. Raises StorageFailed."""
        ...


class Spool:
    """A folder on a disk, or on one that several servers share."""

    def __init__(self, directory: Path, folder: str = FOLDER) -> None:
        """directory: where the folder is or will be. It must exist: it may be a disk that is to be mounted.

        folder: its name.
        Raises StorageFailed.
        """
        self._folder = directory / folder
        try:
            self._folder.mkdir(mode=OWNER_ONLY, exist_ok=True)
            sync_directory(directory)
        except OSError as exc:
            raise _unusable(self._folder, exc) from exc

    def add(self, job_id: str, audio: BinaryIO) -> None:
        path = self._path(job_id)
        partial = path.with_name(path.name + _PARTIAL_SUFFIX)
        try:
            with partial.open("xb") as file:
                shutil.copyfileobj(audio, file, _BLOCK_BYTES)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
            sync_directory(self._folder)
        except OSError as exc:
            for left in (partial, path):
                with contextlib.suppress(OSError):  # The first error says what is wrong.
                    left.unlink(missing_ok=True)
            # The client reads this message, so it does not show the server's paths.
            raise StorageFailed(
                f"the audio cannot be kept ({exc.strerror}); allowed: a server with free disk space"
            ) from exc

    def open(self, job_id: str) -> BinaryIO:
        try:
            return self._path(job_id).open("rb")
        except FileNotFoundError as exc:
            raise AudioLost(LOST) from exc
        except OSError as exc:
            raise StorageFailed(f"the job's audio cannot be read ({exc.strerror})") from exc

    def remove(self, job_id: str) -> None:
        try:
            self._path(job_id).unlink(missing_ok=True)
        except OSError as exc:
            logger.warning("the audio of job %s cannot be deleted: %s", job_id, exc.strerror)

    def sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        try:
            for path in self._folder.iterdir():
                with contextlib.suppress(FileNotFoundError):  # Another server has deleted it meanwhile.
                    sizes[path.name] = path.stat().st_size
        except OSError as exc:
            raise _unusable(self._folder, exc) from exc
        return sizes

    def _path(self, job_id: str) -> Path:
        return self._folder / job_id


def _unusable(folder: Path, exc: OSError) -> StorageFailed:
    return StorageFailed(
        f"audio cannot be kept in {folder} ({exc.strerror}); allowed: a directory that can be written, "
        "given by --data-dir or --jobs-storage"
    )
