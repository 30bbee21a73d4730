"""Word error rates of a live server on real recordings, with Whisper's own text normaliser.

Run by `make bench-wer`. The folder of recordings has a `manifest.jsonl`: one JSON object a line with
`path`, `language`, `text` and `category`; a long recording has its reference in a `.json` beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jiwer
import requests
import soundfile
from rich.console import Console
from rich.progress import track
from rich.table import Table
from whisper_normalizer.english import EnglishTextNormalizer

from tests.server import run_server

SHORT = ("librispeech_test_other/",)
LONG = ("long/test_other.flac",)
REQUEST_TIMEOUT_S = 3600.0

normalise = EnglishTextNormalizer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One recording and what is said in it."""

    path: Path
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Word error rate in per cent over all clips' words, and audio seconds for each second of waiting."""

    wer: float
    n_words: int
    rtfx: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", default="embedded:whisper-base", help="as for hf-asr serve")
    arguments = parser.parse_args()
    sets = {
        "short clips": list(short_clips(arguments.speech)),
        "long file": [long_clip(arguments.speech / path) for path in LONG],
    }
    table = Table("set", "clips", "words", "WER %", "× real time", title=f"{arguments.model}, Whisper normaliser")
    with run_server("--model", arguments.model) as server:
        for name, clips in sets.items():
            score = evaluate(server.url, clips, name=name)
            table.add_row(name, str(len(clips)), str(score.n_words), f"{score.wer:.1f}", f"{score.rtfx:.1f}")
    Console(width=100).print(table)


def short_clips(speech: Path) -> Iterator[Clip]:
    """Yield the clips of SHORT that are in the folder's manifest."""
    for line in (speech / "manifest.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["path"].startswith(SHORT) and entry["text"]:
            yield Clip(path=speech / entry["path"], reference=entry["text"])


def long_clip(path: Path) -> Clip:
    """Return a long recording, whose reference lies beside it."""
    return Clip(path=path, reference=json.loads(path.with_suffix(f"{path.suffix}.json").read_text())["text"])


def evaluate(url: str, clips: Iterable[Clip], *, name: str) -> Score:
    """Post every clip, one after another."""
    references, hypotheses = [], []
    audio_s = waited_s = 0.0
    for clip in track(list(clips), description=name):
        started = time.perf_counter()
        answer = requests.post(
            f"{url}/?return_timestamps=true", data=clip.path.read_bytes(), timeout=REQUEST_TIMEOUT_S
        )
        waited_s += time.perf_counter() - started
        answer.raise_for_status()
        audio_s += _duration_s(clip.path)
        references.append(normalise(clip.reference))
        hypotheses.append(normalise(answer.json()["text"]))
    measures = jiwer.process_words(references, hypotheses)
    n_words = measures.hits + measures.substitutions + measures.deletions
    return Score(wer=100 * measures.wer, n_words=n_words, rtfx=audio_s / waited_s)


def _duration_s(path: Path) -> float:

    return float(soundfile.info(path).duration)


if __name__ == "__main__":
    main()
