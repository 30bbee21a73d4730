"""`hf-asr transcribe --ray`: recordings go to the engines of a cluster, and their texts are written here."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from hf_asr_endpoint.command_line.transcribe.formats import Look, render
from hf_asr_endpoint.command_line.transcribe.inputs import AUDIO_SUFFIXES, STDIN, Recording, find_recordings
from hf_asr_endpoint.command_line.transcribe.outputs import Work, write
from hf_asr_endpoint.command_line.transcribe.reporter import Reporter
from hf_asr_endpoint.command_line.transcribe.results import Results
from hf_asr_endpoint.command_line.transcribe.totals import Outcome, Totals
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.messages import hide_secrets
from hf_asr_endpoint.ray_cluster import connected
from hf_asr_endpoint.ray_data import Row, be_quiet, locations, read_rows, transcribe
from hf_asr_endpoint.types import TranscriptionOptions


def find_archive(arguments: Iterable[str], *, recursive: bool) -> list[Recording]:
    """Return the recordings that paths and URIs name, each once. Raises InvalidParameter and OSError."""
    found: dict[str, Recording] = {}
    for argument in arguments:
        if argument == STDIN:
            raise InvalidParameter("- is the standard input, which no engine on Ray can read; allowed: files")
        if locations.is_uri(argument):
            recordings = list(_at(argument, recursive=recursive))
        else:
            recordings = find_recordings([argument], recursive=recursive)
        for recording in recordings:
            found.setdefault(recording.location, recording)
    return list(found.values())


def _at(uri: str, *, recursive: bool) -> Iterable[Recording]:
    files = list(locations.list_location(uri, recursive=recursive))
    is_file = len(files) == 1 and files[0].uri == uri
    taken = [file for file in files if is_file or Path(file.relative).suffix.lower() in AUDIO_SUFFIXES]
    if not taken:
        raise InvalidParameter(f"{hide_secrets(uri)!r} has no files with the name of an audio format")
    for file in taken:
        relative = Path(file.relative)
        yield Recording(
            path=relative,
            relative=relative,
            n_bytes=file.n_bytes,
            open=partial(locations.open_location, file.uri),
            uri=file.uri,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What all recordings are worked on with. results: None where no table is wanted."""

    address: str
    settings: Settings
    options: TranscriptionOptions
    look: Look
    reporter: Reporter
    totals: Totals
    results: Results | None

    def work_on(self, works: Sequence[Work]) -> None:
        """Work on all. A signal ends it between two recordings.

        Raises InvalidSettings, ClusterUnreachable, and EngineLost when Ray gives up.
        """
        by_source = {work.recording.source: work for work in works}
        # Recordings of a batch should be of a length, and the longest should not come last.
        longest_first = sorted(works, key=lambda work: -work.recording.n_bytes)
        self.reporter.wait(f"Ray at {self.address}")
        with connected(self.address):
            signal.signal(signal.SIGTERM, _interrupt)
            be_quiet()
            dataset = transcribe([work.recording.source for work in longest_first], self.settings, self.options)
            self.reporter.wait("engines to start")
            self.totals.start()
            for row in read_rows(dataset):
                self._take(by_source[row.location], row)

    def _take(self, work: Work, row: Row) -> None:
        self.reporter.begin(work)
        self.reporter.end(work, self._write(work, row))

    def _write(self, work: Work, row: Row) -> Outcome:
        if row.transcription is None:
            return Outcome(error=row.error)
        try:
            write([(target, render(row.transcription, target.format, self.look)) for target in work.targets])
        except OSError as exc:
            return Outcome(error=str(exc))
        if self.results is not None:
            self.results.add(work.recording.location, row.transcription)
        return Outcome(audio_s=row.transcription.duration_s)


def _interrupt(*_: object) -> NoReturn:
    """End on SIGTERM as Python ends on SIGINT."""
    raise KeyboardInterrupt
