"""Word error rates of a server on real recordings. Run by `make bench-wer`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import requests
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.accuracy import word_errors
from bench.recordings import Clip, duration_s, long_clip, short_clips
from tests.server import run_server

REQUEST_TIMEOUT_S = 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", default="embedded:whisper-base", help="as for hf-asr serve")
    parser.add_argument("--engine", default="auto", help="as for hf-asr serve (default: %(default)s)")
    arguments = parser.parse_args()
    sets = {"short clips": short_clips(arguments.speech), "long file": [long_clip(arguments.speech)]}
    title = f"{arguments.model}, engine {arguments.engine}, Whisper normaliser"
    table = Table("set", "clips", "words", "WER %", "× real time", title=title)
    with run_server("--model", arguments.model, "--engine", arguments.engine) as server:
        for name, clips in sets.items():
            table.add_row(name, str(len(clips)), *evaluate(server.url, clips, name=name))
    Console(width=100).print(table)


def evaluate(url: str, clips: Sequence[Clip], *, name: str) -> tuple[str, str, str]:
    """Post all clips, one after another. Return the number of words, the WER and the rate, for a row."""
    hypotheses = []
    elapsed_s = 0.0
    for clip in track(clips, description=name):
        started = time.perf_counter()
        answer = requests.post(
            f"{url}/?return_timestamps=true", data=clip.path.read_bytes(), timeout=REQUEST_TIMEOUT_S
        )
        elapsed_s += time.perf_counter() - started
        answer.raise_for_status()
        hypotheses.append(answer.json()["text"])
    errors = word_errors([clip.reference for clip in clips], hypotheses)
    rtfx = sum(duration_s(clip.path) for clip in clips) / elapsed_s
    return str(errors.n_words), f"{errors.wer:.1f}", f"{rtfx:.1f}"


if __name__ == "__main__":
    main()
