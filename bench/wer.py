"""Word error rates on real recordings, at each level of precision. Run by `make bench-wer`.

One measurement is one draw: a change that nobody hears moves whisper-base's rate in other languages than English
by half a per cent (standard deviation), in float32 as well. So with --copies, copies of each recording are
transcribed, too: they begin up to 20 ms later and have noise 60 dB below their peak. Levels are compared by the
mean over these draws and the standard error of its difference from the first level's, draw by draw.
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import requests
import soundfile
from rich.console import Console
from rich.table import Table

from bench.accuracy import word_errors
from bench.recordings import Clip, clips_with_references, duration_s, long_clip
from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.server import run_server

REQUEST_TIMEOUT_S = 3600.0
N_CLIENTS = 8
MAX_DELAY_S = 0.02
NOISE = 1e-3  # of the peak
COLUMNS = (
    "level",
    "set",
    "clips",
    "WER % as it is",
    "mean",
    "draws",
    "difference",
    f"× real time, {N_CLIENTS} clients",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Of a set of recordings. wers: of each draw, in %; the first is of the recordings as they are."""

    n_clips: int
    wers: Sequence[float]
    speed: float

    def row(self, first: Rates) -> tuple[str, ...]:
        """Return cells from the number of clips on. first: of the first level."""
        cells = [
            str(self.n_clips),
            f"{self.wers[0]:.2f}",
            f"{statistics.mean(self.wers):.2f}",
            str(len(self.wers)),
        ]
        return (*cells, difference(self.wers, first.wers), f"{self.speed:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", default="embedded:whisper-base", help="as for hf-asr serve")
    parser.add_argument("--engine", default="auto", help="as for hf-asr serve (default: %(default)s)")
    parser.add_argument("--levels", default="auto", help="CPU levels, float32 (default: %(default)s)")
    parser.add_argument("--copies", type=int, default=0, help="of each recording (default: %(default)s)")
    parser.add_argument("--sets", default="English,other languages,long file", help="(default: %(default)s)")
    arguments = parser.parse_args()
    clips = clips_with_references(arguments.speech)
    sets = {
        "English": [clip for clip in clips if clip.language == "en"],
        "other languages": [clip for clip in clips if clip.language != "en"],
        "long file": [long_clip(arguments.speech)],
    }
    table = Table(*COLUMNS, title=f"{arguments.model}, {arguments.engine} engine, {N_CLIENTS} clients")
    first: dict[str, Rates] = {}
    for level in arguments.levels.split(","):
        precision = ("--dtype", "float32") if level == "float32" else ("--cpu-level", level)
        with run_server("--model", arguments.model, "--engine", arguments.engine, *precision) as server:
            for name in arguments.sets.split(","):
                rates = evaluate(server.url, sets[name], copies=arguments.copies)
                table.add_row(level, name, *rates.row(first.setdefault(name, rates)))
    Console(width=110).print(table)


def evaluate(url: str, clips: Sequence[Clip], *, copies: int) -> Rates:
    """Post all clips and their copies, N_CLIENTS at a time."""
    draws = range(copies + 1)
    started = time.perf_counter()
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        texts = list(
            pool.map(partial(_transcribe, url), list(clips) * len(draws), (draw for draw in draws for _ in clips))
        )
    elapsed_s = time.perf_counter() - started
    references = [clip.reference for clip in clips]
    by_draw = [texts[draw * len(clips) : (draw + 1) * len(clips)] for draw in draws]
    return Rates(
        n_clips=len(clips),
        wers=[word_errors(references, found).wer for found in by_draw],
        speed=len(draws) * sum(duration_s(clip.path) for clip in clips) / elapsed_s,
    )


def difference(wers: Sequence[float], first: Sequence[float]) -> str:
    """Return the mean difference from the first level's rates, with its standard error if there are several."""
    differences = [one - other for one, other in zip(wers, first, strict=True)]
    mean = statistics.mean(differences)
    if len(differences) == 1:
        return f"{mean:+.2f}"
    return f"{mean:+.2f} ± {statistics.stdev(differences) / math.sqrt(len(differences)):.2f}"


def draw_of(clip: Clip, draw: int) -> bytes:
    """Return a file of a recording: as it is (0), or a copy that sounds the same."""
    if draw == 0:
        return clip.path.read_bytes()
    with clip.path.open("rb") as file:
        waveform = np.concatenate(list(decode_audio(file)))
    generator = np.random.default_rng([draw, len(waveform)])
    waveform = waveform[generator.integers(1, round(MAX_DELAY_S * SAMPLE_RATE)) :]
    noise = generator.standard_normal(len(waveform)) * NOISE * np.abs(waveform).max()
    copy = io.BytesIO()
    soundfile.write(copy, np.clip(waveform + noise, -1, 1), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return copy.getvalue()


def _transcribe(url: str, clip: Clip, draw: int) -> str:
    query = {"return_timestamps": "true"} | ({"language": clip.language} if clip.language else {})
    answer = requests.post(f"{url}/", params=query, data=draw_of(clip, draw), timeout=REQUEST_TIMEOUT_S)
    answer.raise_for_status()
    text: str = answer.json()["text"]
    return text


if __name__ == "__main__":
    main()
