"""The recordings on which the engine is compared with transformers."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import torch

from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import WINDOW_S
from tests.conftest import DATA

N_MELS = 80
MAX_CLIP_S = 20.0

SHARED = Path(__file__).parents[3] / "shared" / "speech"
"""A collection of recordings next to the checkout, which may be absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """At most 30 s of speech. language: by the collection; the model may detect another."""

    path: Path
    language: str

    @property
    def name(self) -> str:
        return self.path.name

    def waveform(self) -> Waveform:
        return _decode(self.path)


@cache
def _decode(path: Path) -> Waveform:
    with path.open("rb") as file:
        return np.concatenate(list(decode_audio(file)))


LOCAL = [
    Recording(path=DATA / "jfk.mp3", language="en"),
    Recording(path=DATA / "1688-142285-0003.flac", language="en"),
    Recording(path=DATA / "2414-128291-0009.flac", language="en"),
    Recording(path=DATA / "fleurs-de-005.ogg", language="de"),
]
"""2 to 20 seconds each."""


def frozen_recordings() -> list[Recording]:
    """Return the English clips that `searches.json` has results for."""
    return [Recording(path=path, language="en") for path in (DATA / "jfk.mp3", *sorted(DATA.glob("*.flac")))]


def few_recordings() -> list[Recording]:
    """Return the recordings of every test run."""
    return LOCAL + [
        Recording(path=path, language="en")
        for path in sorted((SHARED / "librispeech_test_other").glob("*.flac"))[::17]
    ]


def clips(n: int) -> list[Recording]:
    """Return n English clips of at most 20 seconds: local ones, then a spread over the collection."""
    paths = sorted((SHARED / "librispeech_test_other").glob("*.flac"))
    short = [path for path in paths if soundfile.info(path).duration <= MAX_CLIP_S]
    step = max(1, len(short) // max(1, n - 3))
    spread = [Recording(path=path, language="en") for path in short[::step]]
    return (LOCAL[:3] + spread)[:n]


def all_recordings() -> list[Recording]:
    """Return the local recordings and every recording of the collection with text and at most 30 s."""
    manifest = SHARED / "manifest.jsonl"
    rows = [json.loads(line) for line in manifest.read_text().splitlines()] if manifest.exists() else []
    return LOCAL + [
        Recording(path=SHARED / row["path"], language=row["language"])
        for row in rows
        if row.get("text") and row.get("seconds", math.inf) <= WINDOW_S
    ]


def whole_window(waveform: Waveform) -> torch.Tensor:
    """Return 30 s of mel frames, shape = (n_mels, n_frames)."""
    return ChunkSpectrogram(waveform, n_mels=N_MELS, encoder_padding_s=WINDOW_S).window(0.0, is_whole=True)


def cut_window(waveform: Waveform, *, padding_s: float = 4.0) -> torch.Tensor:
    """Return the mel frames of the audio and of `padding_s` after it."""
    return ChunkSpectrogram(waveform, n_mels=N_MELS, encoder_padding_s=padding_s).window(0.0, is_whole=False)
