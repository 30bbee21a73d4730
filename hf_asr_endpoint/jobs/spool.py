"""The audio of unfinished jobs: one file each, whole or not there at all."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.jobs.data_directory import PRIVATE, sync_directory

logger = logging.getLogger(__name__)

FOLDER = "audio"
_PARTIAL = ".part"
_BLOCK_BYTES = 2**20


class Spool:
    """A folder with a file for each job, by the job's id. All methods block."""

    def __init__(self, directory: Path) -> None:
        """directory: of the server's data. Raises StorageFailed."""
        self._folder = directory / FOLDER
        try:
            self._folder.mkdir(mode=PRIVATE, exist_ok=True)
            sync_directory(directory)
        except OSError as exc:
            raise _failed(self._folder, exc) from exc

    def add(self, job_id: str, audio: BinaryIO) -> None:
        """Copy audio from its position on. When this returns, it survives the machine. Raises StorageFailed."""
        path = self._path(job_id)
        partial = path.with_name(path.name + _PARTIAL)
        try:
            with partial.open("xb") as file:
                shutil.copyfileobj(audio, file, _BLOCK_BYTES)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
            sync_directory(self._folder)
        except OSError as exc:
            for left in (partial, path):
                left.unlink(missing_ok=True)
            raise _failed(self._folder, exc) from exc

    def open(self, job_id: str) -> BinaryIO:
        """Return a job's audio at its beginning; the caller closes it. Raises StorageFailed when it is gone."""
        try:
            return self._path(job_id).open("rb")
        except OSError as exc:
            raise StorageFailed(f"the job's audio cannot be read ({exc.strerror}); send the job again") from exc

    def remove(self, job_id: str) -> None:
        """Delete a job's audio, if there is any. What cannot be deleted is left for `clean`."""
        try:
            self._path(job_id).unlink(missing_ok=True)
        except OSError as exc:
            logger.warning("the audio of job %s cannot be deleted: %s", job_id, exc.strerror)

    def clean(self, wanted: Collection[str]) -> None:
        """Delete every file but the audio of the jobs wanted.

        The others are of jobs that have ended, or that never began: of a client that was never told of a job.
        """
        for path in self._folder.iterdir():
            if path.name not in wanted:
                self.remove(path.name)

    def _path(self, job_id: str) -> Path:
        return self._folder / job_id


def _failed(folder: Path, exc: OSError) -> StorageFailed:
    return StorageFailed(
        f"the audio cannot be kept in {folder} ({exc.strerror}); allowed: a folder with room that can be written"
    )
