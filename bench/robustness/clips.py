"""The clips of a folder of recordings that have a text and a language, and errors of texts in any language."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import numpy.typing as npt
from whisper_normalizer.basic import BasicTextNormalizer

from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.errors import InvalidAudio

MAX_SHORT_S = 30.0
RATE = 16_000
SCORED_BY_CHARACTER = {"zh", "ja", "ko", "th", "yue", "my", "lo", "km"}
"""Languages written without spaces, or whose spaces are free."""

Waveform = npt.NDArray[np.float32]
_normalise = BasicTextNormalizer()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenClip:
    """A recording, 16 kHz. language: a code. speech_start_s: where it gets loud, within 10 ms."""

    name: str
    language: str
    reference: str
    waveform: Waveform
    speech_start_s: float

    @property
    def seconds(self) -> float:
        return len(self.waveform) / RATE


def short_clips(speech: Path, *, every: int = 1) -> list[SpokenClip]:
    """Return the clips of at most 30 s; every: one of so many, evenly."""
    lines = (speech / "manifest.jsonl").read_text().splitlines()
    entries = [entry for entry in map(json.loads, lines) if entry.get("text") and entry.get("language")]
    clips = []
    for entry in entries[::every]:
        waveform = _read(speech / entry["path"])
        if waveform is not None and 0 < len(waveform) <= MAX_SHORT_S * RATE:
            clips.append(
                SpokenClip(
                    name=entry["path"],
                    language=entry["language"],
                    reference=entry["text"],
                    waveform=waveform,
                    speech_start_s=loud_from_s(waveform),
                )
            )
    return clips


def _read(path: Path) -> Waveform | None:
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return np.concatenate(list(decode_audio(file)))
    except InvalidAudio:  # a damaged file of the collection
        return None


def loud_from_s(waveform: Waveform) -> float:
    """Return where three frames of 10 ms in a row are louder than a tenth (-20 dB) of the loudest ones."""
    size = RATE // 100
    frames = waveform[: len(waveform) // size * size].reshape(-1, size)
    power = (frames.astype(np.float64) ** 2).mean(axis=1)
    is_loud = power > np.quantile(power, 0.95) / 100
    runs = is_loud[:-2] & is_loud[1:-1] & is_loud[2:]
    return float(np.argmax(runs)) * size / RATE


def error_rate(references: Sequence[str], texts: Sequence[str], languages: Sequence[str]) -> float:
    """Return the errors per word, over all texts, in per cent; by character where SCORED_BY_CHARACTER says."""
    errors = words = 0
    for reference, text, language in zip(references, texts, languages, strict=True):
        expected, found = (_units(each, language) for each in (reference, text))
        measured = jiwer.process_words(expected or "-", found or "")
        errors += measured.substitutions + measured.deletions + measured.insertions
        words += measured.hits + measured.substitutions + measured.deletions
    return 100 * errors / max(words, 1)


def _units(text: str, language: str) -> str:
    normal = _normalise(text).strip()
    return " ".join(normal.replace(" ", "")) if language in SCORED_BY_CHARACTER else normal
