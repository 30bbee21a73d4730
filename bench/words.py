"""Word timestamps of a server and of faster-whisper against forced alignments. Run by `make bench-words`."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import requests
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.engines.faster_whisper import load_model
from bench.engines.protocol import EngineOptions
from bench.weights import MODELS, prepare
from bench.word_times import ErrorSummary, TimedWord, WordError, summarise, word_errors
from tests.server import run_server

SETS = {"librispeech_test_other": "LibriSpeech, long words", "word_timestamps": "word_timestamps, all words"}
"""Folders of the collection with timed words, and their titles."""

REQUEST_TIMEOUT_S = 600.0

FindWords = Callable[[Path], list[TimedWord]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedClip:
    """A recording with the times of some or all of its words."""

    path: Path
    words: tuple[TimedWord, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="the weights (default: %(default)s)")
    arguments = parser.parse_args()
    sets = {title: aligned_clips(arguments.speech, folder) for folder, title in SETS.items()}
    table = Table(
        *("set", "engine", "words", "start\nmedian", "p90", "<= 200 ms", "end\nmedian", "p90", "<= 200 ms"),
        title=f"{arguments.model}, greedy, English: absolute errors in ms",
    )
    with run_server("--model", arguments.model) as server:
        engines: dict[str, FindWords] = {
            "this project, auto": lambda path: ours(server.url, path),
            "faster-whisper, int8": faster_whisper(arguments.model),
        }
        for title, clips in sets.items():
            for engine, find in engines.items():
                table.add_row(title, engine, *evaluate(find, clips, description=f"{engine}: {title}"))
    Console(width=120).print(table)


def aligned_clips(speech: Path, folder: str) -> list[AlignedClip]:
    """Return the clips of a folder with timed words in the manifest."""
    entries = (json.loads(line) for line in (speech / "manifest.jsonl").read_text().splitlines())
    return [
        AlignedClip(
            path=speech / entry["path"],
            words=tuple(TimedWord(text=text, start=start, end=end) for text, start, end in words),
        )
        for entry in entries
        if entry["path"].startswith(f"{folder}/") and (words := entry.get("words") or entry.get("words_partial"))
    ]


def evaluate(find: FindWords, clips: Iterable[AlignedClip], *, description: str) -> list[str]:
    """Return the cells of a row: the number of compared words, the errors of starts, the errors of ends."""
    errors: list[WordError] = []
    for clip in track(list(clips), description=description):
        errors += word_errors(clip.words, find(clip.path))
    starts, ends = (
        summarise([error.start_ms for error in errors]),
        summarise([error.end_ms for error in errors]),
    )
    return [str(len(errors)), *_cells(starts), *_cells(ends)]


def ours(url: str, path: Path) -> list[TimedWord]:
    """Return the words that the server finds."""
    answer = requests.post(
        f"{url}/?return_timestamps=word&language=en", data=path.read_bytes(), timeout=REQUEST_TIMEOUT_S
    )
    answer.raise_for_status()
    return [
        TimedWord(text=chunk["text"], start=chunk["timestamp"][0], end=chunk["timestamp"][1])
        for chunk in answer.json()["chunks"]
    ]


def faster_whisper(model: str) -> FindWords:
    """Return a function that finds words with faster-whisper and the same weights."""
    options = EngineOptions(weights=prepare(model, "ctranslate2"), n_threads=os.cpu_count() or 1)
    whisper = load_model(options, compute_type="int8")

    def find(path: Path) -> list[TimedWord]:
        segments, _ = whisper.transcribe(str(path), beam_size=1, language="en", word_timestamps=True)
        return [
            TimedWord(text=word.word, start=word.start, end=word.end)
            for segment in segments
            for word in segment.words
        ]

    return find


def _cells(summary: ErrorSummary) -> tuple[str, str, str]:
    return f"{summary.median_ms:.0f}", f"{summary.p90_ms:.0f}", f"{summary.close_percent:.1f} %"


if __name__ == "__main__":
    main()
