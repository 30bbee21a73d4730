"""The recordings that are measured: which there are, what is said in them, how long they last.

A folder of recordings has a `manifest.jsonl`: one JSON object a line with `path` and `text`; a long
recording has its reference in a `.json` beside it.
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
    """One recording and what is said in it."""

    path: Path
    reference: str


def language_clips(speech: Path, *, folder: str, language: str) -> list[Path]:
    """Return the recordings of a folder that are in a language, as the manifest says."""
    entries = (json.loads(line) for line in (speech / "manifest.jsonl").read_text().splitlines())
    return [
        speech / entry["path"]
        for entry in entries
        if entry["path"].startswith(f"{folder}/") and entry.get("language") == language
    ]


def short_clips(speech: Path, *, limit: int | None = None) -> list[Clip]:
    """Return the clips of SHORT that are in the folder's manifest, the first `limit` of them."""
    entries = (json.loads(line) for line in (speech / "manifest.jsonl").read_text().splitlines())
    clips = (
        Clip(path=speech / entry["path"], reference=entry["text"])
        for entry in entries
        if entry["path"].startswith(SHORT) and entry["text"]
    )
    return list(itertools.islice(clips, limit))


def long_clip(speech: Path) -> Clip:
    """Return the long recording, whose reference lies beside it."""
    path = speech / LONG
    return Clip(path=path, reference=json.loads(path.with_suffix(f"{path.suffix}.json").read_text())["text"])


def duration_s(path: Path) -> float:
    """Return how long a recording lasts."""
    return float(soundfile.info(path).duration)


def write_repeated(sources: Sequence[Path], target: Path, *, seconds: float) -> None:
    """Write a flac file of `seconds` that repeats `sources`, all of one sample rate, block by block."""
    form = soundfile.info(sources[0])
    left = round(seconds * form.samplerate)
    with soundfile.SoundFile(
        target, "w", samplerate=form.samplerate, channels=form.channels, format="FLAC"
    ) as output:
        for source in itertools.cycle(sources):
            for block in soundfile.blocks(source, blocksize=_BLOCK_FRAMES, dtype="int16"):
                output.write(block[:left])
                left -= len(block[:left])
            if not left:
                return
