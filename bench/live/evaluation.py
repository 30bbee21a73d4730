"""Latencies and errors of what sessions told, against what was said."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.accuracy import word_errors
from bench.live.streaming import Told
from bench.load_result import percentile
from bench.report import NO_VALUE

COLUMNS = (
    *("sessions", "word p50 s", "p95 s", "not live %", "end p50 s", "p95 s"),
    *("WER final %", "deltas %", "turns as files %", "clips as files %", "errors"),
)


@dataclass(frozen=True, slots=True)
class Said:
    """What one session's audio says: its reference, its text as a file, and that text's words with their ends."""

    reference: str
    offline: str
    words: Sequence[tuple[str, float]]


def row(n_sessions: int, said: Sequence[Said], told: Sequence[Told], turns: Sequence[str] = ()) -> list[str]:
    """Return a row of COLUMNS. turns: each session's text where its turns are files."""
    pairs = list(zip(said, told, strict=True))
    latencies = [latency for one, heard in pairs for latency in _latencies(one, heard)]
    n_words = sum(len(one.words) for one in said)
    live = [latency for latency, is_live in latencies if is_live]
    ends = [value for heard in told for value in heard.ended_after_s]
    references = [one.reference for one in said]
    return [
        str(n_sessions),
        *_percentiles([latency for latency, _ in latencies]),
        f"{100 * (1 - len(live) / max(n_words, 1)):.0f}",
        *_percentiles(ends),
        _wer(references, [" ".join(heard.finals) for heard in told]),
        _wer(references, [" ".join(shown.text for shown in heard.shown) for heard in told]),
        _wer(references, turns) if turns else NO_VALUE,
        _wer(references, [one.offline for one in said]),
        str(sum(len(heard.errors) for heard in told)),
    ]


def _latencies(said: Said, told: Told) -> list[tuple[float, bool]]:
    """Return for each word that was shown and is among those of the file, how long after its end it came."""
    left = [_plain(text) for text, _ in said.words]
    right = [_plain(shown.text) for shown in told.shown]
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    return [
        (told.shown[block.b + index].at_s - said.words[block.a + index][1], told.shown[block.b + index].is_live)
        for block in matcher.get_matching_blocks()
        for index in range(block.size)
    ]


def _percentiles(values: Sequence[float]) -> list[str]:
    found = (percentile(values, percent) for percent in (50, 95))
    return [NO_VALUE if value is None else f"{value:.2f}" for value in found]


def _wer(references: Sequence[str], hypotheses: Sequence[str]) -> str:
    return f"{word_errors(references, hypotheses).wer:.1f}"


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())
