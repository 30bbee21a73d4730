"""The recordings to measure: their paths, references and durations.

A folder of recordings has a `manifest.jsonl`, with a JSON object with `path` and `text` in each line. A long
recording has its reference in a `.json` file next to it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

SHORT = ("librispeech_test_other/",)
LONG = "long/test_other.flac"

_BLOCK_FRAMES = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One recording, its reference text and its language, if that is known."""

    path: Path
    reference: str
    language: str | None = None


def language_clips(speech: Path, *, folder: str, language: str) -> list[Path]:
    """Return the recordings of a folder with this language in the manifest."""
    entries = (json.loads(line) for line in (speech / "manifest.jsonl").read_text().splitlines())
    return [
        speech / entry["path"]
        for entry in entries
        if entry["path"].startswith(f"{folder}/") and entry.get("language") == language
    ]


def short_clips(speech: Path, *, limit: int | None = None) -> list[Clip]:
    """Return the first `limit` clips of SHORT with a reference in the manifest."""
    entries = (json.loads(line) for line in (speech / "manifest.jsonl").read_text().splitlines())
    clips = (
        Clip(path=speech / entry["path"], reference=entry["text"])
        for entry in entries
        if entry["path"].startswith(SHORT) and entry["text"]
    )
    return list(itertools.islice(clips, limit))


def clips_with_references(speech: Path) -> list[Clip]:
    """Return all recordings of speech with a reference in the manifest."""
    entries = (json.loads(line) for line in (speech / "manifest.jsonl").read_text().splitlines())
    return [
        Clip(path=speech / entry["path"], reference=entry["text"], language=entry.get("language"))
        for entry in entries
        if entry.get("category") == "speech" and entry.get("text")
    ]


def long_clip(speech: Path) -> Clip:
    """Return the long recording."""
    path = speech / LONG
    return Clip(path=path, reference=json.loads(path.with_suffix(f"{path.suffix}.json").read_text())["text"])


def duration_s(path: Path) -> float:
    """Return the duration of a recording in seconds."""
    return float(soundfile.info(path).duration)


def write_repeated(sources: Sequence[Path], target: Path, *, seconds: float) -> None:
    """Write a flac file of `seconds` that repeats `sources`, which must have the same sample rate."""
    info = soundfile.info(sources[0])
    left = round(seconds * info.samplerate)
    with soundfile.SoundFile(
        target, "w", samplerate=info.samplerate, channels=info.channels, format="FLAC"
    ) as output:
        for source in itertools.cycle(sources):
            for block in soundfile.blocks(source, blocksize=_BLOCK_FRAMES, dtype="int16"):
                output.write(block[:left])
                left -= len(block[:left])
            if not left:
                return
