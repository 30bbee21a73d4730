"""One table of all transcriptions, for archives: JSON lines, or a folder of Parquet files. Each recording once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from hf_asr_endpoint.api.openai.render import render_verbose_json
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import Transcription

LINES, PARQUET = ".jsonl", ".parquet"
ROWS_PER_PART = 1_000
"""Of a Parquet file. Those of a part that is not full are lost when the process is killed, and are made again."""


class Results(Protocol):
    """A table that survives the process, with OpenAI's verbose_json and the `location` in each row."""

    def done(self) -> set[str]:
        """Return the locations that have their rows."""
        ...

    def add(self, location: str, transcription: Transcription) -> None:
        """Add a row, unless the location has one: a text in another format may be wanted later."""
        ...

    def close(self) -> None:
        """Write what has not been written."""
        ...


def open_results(path: Path, *, overwrites: bool, shows_words: bool) -> Results:
    """Return the table at a path, whose suffix is its format. overwrites: begin it anew.

    Raises InvalidParameter for another suffix, and OSError.
    """
    kinds: dict[str, type[JsonLines] | type[ParquetParts]] = {LINES: JsonLines, PARQUET: ParquetParts}
    if path.suffix not in kinds:
        raise InvalidParameter(f"--results is {str(path)!r}; allowed: a name that ends in {' or '.join(kinds)}")
    return kinds[path.suffix](path, overwrites=overwrites, shows_words=shows_words)


def _row(location: str, transcription: Transcription, *, shows_words: bool) -> dict[str, Any]:
    body = render_verbose_json(transcription, shows_segments=True, shows_words=shows_words)
    return {"location": location, **body}


class JsonLines:
    """A file with a line for each recording, on the disk as soon as it is added."""

    def __init__(self, path: Path, *, overwrites: bool, shows_words: bool) -> None:
        self._shows_words = shows_words
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w+b" if overwrites else "a+b")
        self._done = set(self._read())

    def done(self) -> set[str]:
        return self._done

    def add(self, location: str, transcription: Transcription) -> None:
        if location in self._done:
            return
        row = _row(location, transcription, shows_words=self._shows_words)
        self._done.add(location)
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _read(self) -> Iterator[str]:
        """Yield the locations of whole lines, and cut off what a killed process has left of one."""
        self._file.seek(0)
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            yield json.loads(line)["location"]
        self._file.truncate(end)


class ParquetParts:
    """A folder of Parquet files, each of which is there as a whole or not at all."""

    def __init__(self, path: Path, *, overwrites: bool, shows_words: bool) -> None:
        self._folder = path
        self._shows_words = shows_words
        self._rows: list[dict[str, Any]] = []
        path.mkdir(parents=True, exist_ok=True)
        parts = sorted(path.glob(f"part-*{PARQUET}"))
        if overwrites:
            for part in parts:
                part.unlink()
            parts = []
        self._n_parts = 1 + max((int(part.stem.removeprefix("part-")) for part in parts), default=-1)
        self._done = {location for part in parts for location in _locations(part)}

    def done(self) -> set[str]:
        return self._done

    def add(self, location: str, transcription: Transcription) -> None:
        if location in self._done:
            return
        self._done.add(location)
        self._rows.append(_row(location, transcription, shows_words=self._shows_words))
        if len(self._rows) >= ROWS_PER_PART:
            self._write()

    def close(self) -> None:
        if self._rows:
            self._write()

    def _write(self) -> None:
        # Imported here: only those who want Parquet wait for it.
        import pyarrow
        import pyarrow.parquet

        part = self._folder / f"part-{self._n_parts:06}{PARQUET}"
        partial = part.with_name(f".{part.name}.partial")
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(self._rows, schema=_schema()), partial)
        partial.replace(part)
        self._n_parts += 1
        self._rows = []


def _locations(part: Path) -> list[str]:
    import pyarrow.parquet

    column = pyarrow.parquet.read_table(part, columns=["location"]).column("location")
    return [str(location) for location in column.to_pylist()]


def _schema() -> Any:
    """Return the columns, the same in all parts: what a part has none of would have no type."""
    import pyarrow

    text, number, integer = pyarrow.string(), pyarrow.float64(), pyarrow.int64()
    segment = pyarrow.struct(
        {
            "id": integer,
            "seek": integer,
            "start": number,
            "end": number,
            "text": text,
            "tokens": pyarrow.list_(integer),
            "temperature": number,
            "avg_logprob": number,
            "compression_ratio": number,
            "no_speech_prob": number,
            "language": text,
        }
    )
    word = pyarrow.struct({"word": text, "start": number, "end": number, "probability": number})
    return pyarrow.schema(
        {
            "location": text,
            "task": text,
            "language": text,
            "language_probability": number,
            "duration": number,
            "text": text,
            "segments": pyarrow.list_(segment),
            "words": pyarrow.list_(word),
        }
    )
