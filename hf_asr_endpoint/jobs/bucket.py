"""The audio files of unfinished jobs in object storage (`s3://…` and others), by fsspec and its packages."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

import fsspec

from hf_asr_endpoint.errors import AudioLost, InvalidSettings, StorageFailed
from hf_asr_endpoint.jobs.spool import LOST

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 2**20


class Bucket:
    """Objects below a URL. They travel by files on this machine's disk: uploads are whole or fail, and a decoder
    may seek in a download.

    Each storage raises errors of its own kinds, with addresses in their texts: they go to the log, not to clients.
    """

    def __init__(self, url: str, folder: str) -> None:
        """folder: its name, below the URL.

        Raises InvalidSettings for a URL that no installed package understands, StorageFailed without access."""
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as exc:
            raise InvalidSettings(
                f"--jobs-storage (HF_ASR_JOBS_STORAGE) is {url!r}: {exc}; allowed: a folder, or a URL of a "
                "storage whose fsspec package is installed (s3: the extra `shared-jobs`)"
            ) from exc
        self._root = f"{root.rstrip('/')}/{folder}"
        try:
            self.sizes()
        except StorageFailed as exc:
            raise StorageFailed(f"--jobs-storage (HF_ASR_JOBS_STORAGE) is {url!r}: {exc.__cause__}") from exc

    def add(self, job_id: str, audio: BinaryIO) -> None:
        with tempfile.NamedTemporaryFile() as copy:
            try:
                shutil.copyfileobj(audio, copy, _BLOCK_BYTES)
                copy.flush()
                self._files.makedirs(self._root, exist_ok=True)
                self._files.put_file(copy.name, self._path(job_id))
            except Exception as exc:  # Of the storage's own kinds.
                self.remove(job_id)
                raise _failed("the audio cannot be kept", exc) from exc

    def open(self, job_id: str) -> BinaryIO:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "audio"
            try:
                self._files.get_file(self._path(job_id), str(path))
                return path.open("rb")  # It lives on until it is closed.
            except FileNotFoundError as exc:
                raise AudioLost(LOST) from exc
            except Exception as exc:  # Of the storage's own kinds.
                raise _failed("the job's audio cannot be read", exc) from exc

    def remove(self, job_id: str) -> None:
        try:
            self._files.rm_file(self._path(job_id))
        except FileNotFoundError:
            return
        except Exception as exc:  # Of the storage's own kinds.
            logger.warning("the audio of job %s cannot be deleted: %s", job_id, exc)

    def sizes(self) -> dict[str, int]:
        try:
            self._files.invalidate_cache(self._root)
            found = self._files.ls(self._root, detail=True)
        except FileNotFoundError:
            return {}
        except Exception as exc:  # Of the storage's own kinds.
            raise _failed("the audio of jobs cannot be listed", exc) from exc
        return {entry["name"].rpartition("/")[2]: entry["size"] or 0 for entry in found if entry["type"] == "file"}

    def _path(self, job_id: str) -> str:
        return f"{self._root}/{job_id}"


def _failed(what: str, exc: Exception) -> StorageFailed:
    logger.error("%s: %s: %s", what, type(exc).__name__, exc)
    return StorageFailed(f"{what} (the server's log says more)")
