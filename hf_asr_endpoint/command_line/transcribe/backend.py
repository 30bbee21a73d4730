"""The seam between the work and what makes transcriptions: the engine in this process, or a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hf_asr_endpoint.command_line.transcribe.inputs import Recording
from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.types import Progress, Transcription

Report = Callable[[str], None]
"""Takes what is being waited for, such as "torch to be imported"."""


class BackendFailed(AsrError):
    """No recording can be transcribed, because of what it is not to blame for."""


class Backend(Protocol):
    """Makes transcriptions, many at a time, in one event loop."""

    max_in_flight: int
    """Recordings that are worked on at a time, so that all of the device is used. Known once it has started."""

    async def start(self, report: Report) -> None:
        """Return when recordings can be transcribed. Raises AsrError if they never can."""
        ...

    async def transcribe(self, recording: Recording, on_progress: Callable[[Progress], None]) -> Transcription:
        """Return a recording's transcription. Cancelling the call stops the work.

        on_progress: called in any thread. Raises BackendFailed, InvalidParameter for options that no recording can
        have, and other kinds of AsrError, and OSError, for this one.
        """
        ...

    async def close(self) -> None:
        """End all work."""
        ...
