"""Does the work: many recordings at a time, each to its files, and tells how far it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hf_asr_endpoint.command_line.transcribe.backend import Backend, BackendFailed
from hf_asr_endpoint.command_line.transcribe.formats import Look, render
from hf_asr_endpoint.command_line.transcribe.outputs import Work, write
from hf_asr_endpoint.command_line.transcribe.reporter import Reporter
from hf_asr_endpoint.command_line.transcribe.totals import Outcome, Totals
from hf_asr_endpoint.errors import AsrError, InvalidParameter
from hf_asr_endpoint.types import Transcription

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What all recordings are worked on with."""

    backend: Backend
    look: Look
    reporter: Reporter
    totals: Totals

    async def work_on(self, works: Sequence[Work]) -> None:
        """Work on all. When it is cancelled, files that are being written are finished, and no other is begun.

        Raises AsrError where no recording can be worked on: for options, or for a backend, that fail.
        """
        try:
            await self.backend.start(self.reporter.wait)
            self.totals.start()
            waiting = iter(works)
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.backend.max_in_flight, len(works))):
                    group.create_task(self._work_through(waiting))
        except* AsrError as errors:
            raise _first(errors) from None
        finally:
            await self.backend.close()

    async def _work_through(self, waiting: Iterator[Work]) -> None:
        for work in waiting:
            self.reporter.begin(work)
            self.reporter.end(work, await self._work(work))

    async def _work(self, work: Work) -> Outcome:
        try:
            transcription = await self.backend.transcribe(
                work.recording, lambda progress: self.reporter.advance(work, progress)
            )
            await _finish(asyncio.to_thread(self._write, work, transcription))
        except (BackendFailed, InvalidParameter):
            raise
        except (AsrError, OSError) as exc:
            return Outcome(error=str(exc))
        except Exception as exc:  # A bug that one recording meets must not stop the others.
            logger.exception("%s", work.recording.shown)
            return Outcome(error=f"a bug, whose traceback is above: {type(exc).__name__}: {exc}")
        return Outcome(audio_s=transcription.duration_s)

    def _write(self, work: Work, transcription: Transcription) -> None:
        write([(target, render(transcription, target.format, self.look)) for target in work.targets])


async def _finish(writing: Coroutine[Any, Any, None]) -> None:
    """Await what must not stop half-way, also when the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(writing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _first(errors: BaseExceptionGroup[AsrError]) -> AsrError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
