"""Files for what a request brings: in memory while they are small, then on disk, with a limit on their size."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast

from hf_asr_endpoint.errors import BodyTooLarge

SPOOL_BYTES = 2**20
"""A file up to this size stays in memory; a larger one goes to a temporary file."""


class LimitedFile:
    """A file that is written once and then read. Refuses to grow beyond `max_bytes`.

    name: of the parameter or body that the file holds, for the message.
    """

    def __init__(self, file: BinaryIO, *, name: str, max_bytes: int) -> None:
        self._file = file
        self._name = name
        self._max_bytes = max_bytes
        self.n_bytes = 0

    def write(self, data: bytes) -> None:
        """Append data. Raises BodyTooLarge before anything is written beyond the limit."""
        self.n_bytes += len(data)
        if self.n_bytes > self._max_bytes:
            raise BodyTooLarge(
                f"{self._name} holds {self.n_bytes} bytes of audio or more; allowed: {self._max_bytes} bytes",
                n_bytes=self.n_bytes,
            )
        self._file.write(data)

    def rewind(self) -> BinaryIO:
        """Return the file, at its beginning."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        self._file.close()


def open_spool(*, name: str, max_bytes: int) -> LimitedFile:
    """Return an empty file that moves to the disk when it passes SPOOL_BYTES. The caller closes it."""
    file = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 # It is returned open.
    return LimitedFile(cast(BinaryIO, file), name=name, max_bytes=max_bytes)
