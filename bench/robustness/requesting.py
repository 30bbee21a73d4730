"""One client for all checks: posts waveforms as FLAC to OpenAI's or DeepInfra's path, several at a time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import requests
import soundfile

RATE = 16_000
TIMEOUT_S = 3600.0
N_CLIENTS = 6

Waveform = npt.NDArray[np.float32]
Dialect = Literal["openai", "deepinfra"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A recording and the fields to send with it."""

    waveform: Waveform
    fields: Mapping[str, str]
    dialect: Dialect = "openai"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What both dialects answer, in common. segments: objects with at least `start`, `end`, `text`."""

    text: str
    language: str | None
    segments: list[dict[str, Any]]
    words: list[dict[str, Any]]

    @property
    def first_start_s(self) -> float | None:
        return self.segments[0]["start"] if self.segments else None


def ask(url: str, questions: Iterable[Question]) -> list[Answer]:
    """Return the answers in order. Raises `requests.HTTPError` at the first refusal."""
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        return list(pool.map(lambda question: _ask(url, question), questions))


def _ask(url: str, question: Question) -> Answer:
    file = io.BytesIO()
    soundfile.write(file, question.waveform, RATE, format="FLAC")
    if question.dialect == "openai":
        path, part = "/v1/audio/transcriptions", "file"
        fields = {"response_format": "verbose_json", **question.fields}
    else:
        path, part = "/v1/inference/openai/whisper-base", "audio"
        fields = dict(question.fields)
    response = requests.post(
        f"{url}{path}", data=fields, files={part: ("a.flac", file.getvalue())}, timeout=TIMEOUT_S
    )
    response.raise_for_status()
    body = response.json()
    return Answer(
        text=body["text"].strip(),
        language=body.get("language"),
        segments=body.get("segments") or [],
        words=body.get("words") or [],
    )
