"""Spans equal those of silero-vad's get_speech_timestamps, except where that waits without end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from hf_asr_endpoint.audio.speech_spans import MAX_UNDECIDED, N_STEP_SAMPLES, Span, SpanFinder
from hf_asr_endpoint.units import SAMPLE_RATE

LIMITS: dict[str, Any] = {
    "threshold": 0.5,
    "neg_threshold": 0.35,
    "short_threshold": 2.0,
    "min_speech": SAMPLE_RATE // 4,
    "min_silence": SAMPLE_RATE // 10,
}
"""silero-vad's defaults; no probability reaches 2, so that short speech is always dropped."""


@pytest.fixture(scope="module")
def silero() -> Iterator[Any]:
    """The package, whose import sets torch's number of threads to one."""
    n_threads = torch.get_num_threads()
    import silero_vad

    yield silero_vad
    torch.set_num_threads(n_threads)


def find_spans(probabilities: list[float], **limits: Any) -> list[tuple[int, int]]:
    """Return spans in steps."""
    finder = SpanFinder(**LIMITS | limits)
    n_samples = len(probabilities) * N_STEP_SAMPLES
    spans = [*finder.push(np.array(probabilities, np.float32)), *finder.finish(n_samples)]
    return [(span.start // N_STEP_SAMPLES, span.end // N_STEP_SAMPLES) for span in spans]


def make_probabilities(seed: int, *, n_steps: int = 2_000) -> np.ndarray:
    """Return a walk between speech and silence that often lingers between the thresholds."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.choice([0.1, 0.3, 0.42, 0.6, 0.95], n_steps), rng.integers(1, 25, n_steps))[:n_steps]
    return np.clip(level + rng.normal(0, 0.05, n_steps), 0, 1).astype(np.float32)


@pytest.mark.parametrize("threshold", [0.5, 0.3])
@pytest.mark.parametrize("seed", range(20))
def test_spans_equal_those_of_silero_vad(silero: Any, seed: int, threshold: float) -> None:
    probabilities = make_probabilities(seed)
    n_samples = len(probabilities) * N_STEP_SAMPLES - 100
    expected = silero.get_speech_timestamps_from_probs(
        probabilities.tolist(), threshold=threshold, speech_pad_ms=0, audio_length_samples=n_samples
    )
    finder = SpanFinder(**LIMITS | {"threshold": threshold, "neg_threshold": threshold - 0.15})
    spans = [*finder.push(probabilities), *finder.finish(n_samples)]
    assert len(spans) > 5
    assert [{"start": span.start, "end": span.end} for span in spans] == expected


@pytest.mark.parametrize(
    ("probabilities", "spans"),
    [
        pytest.param([0.0] * 50, [], id="silence"),
        pytest.param([], [], id="nothing"),
        pytest.param([0.0] * 5 + [0.9] * 10 + [0.0] * 10, [(5, 15)], id="speech in silence"),
        pytest.param([0.9] * 20, [(0, 20)], id="speech from end to end"),
        pytest.param([0.9] * 10 + [0.0] * 3 + [0.9] * 10, [(0, 23)], id="silence of 96 ms"),
        pytest.param([0.9] * 10 + [0.0] * 5 + [0.9] * 10, [(0, 10), (15, 25)], id="silence of 160 ms"),
        pytest.param([0.9] * 10 + [0.4] * 30 + [0.0] * 9, [(0, 40)], id="fading lasts"),
        pytest.param([0.4] * 30, [], id="fading does not begin"),
        pytest.param([0.5] * 10, [(0, 10)], id="at the threshold"),
        pytest.param([0.9] * 7 + [0.0] * 20, [], id="224 ms"),
        pytest.param([0.9] * 8 + [0.0] * 20, [(0, 8)], id="256 ms"),
    ],
)
def test_spans(probabilities: list[float], spans: list[tuple[int, int]]) -> None:
    assert find_spans(probabilities) == spans


def test_short_speech_counts_when_its_peak_is_high() -> None:
    word = [0.6, 0.85, 0.6]
    assert find_spans(word + [0.0] * 9, short_threshold=0.8) == [(0, 3)]
    assert find_spans(word + [0.0] * 9, short_threshold=0.9) == []
    assert find_spans([*word, *[0.0] * 9, 0.6, 0.6, *[0.0] * 9], short_threshold=0.8) == [(0, 3)]


def test_a_probability_between_the_thresholds_ends_speech_after_a_second() -> None:
    n_steps = MAX_UNDECIDED // N_STEP_SAMPLES
    assert find_spans([0.9] * 10 + [0.0] + [0.4] * (n_steps - 1) + [0.9] * 10) == [(0, n_steps + 20)]
    assert find_spans([0.9] * 10 + [0.0] + [0.4] * (n_steps + 1) + [0.9] * 10) == [
        (0, 10),
        (n_steps + 12, n_steps + 22),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_open_spans_agree_with_the_final_spans(seed: int) -> None:
    """An open span has the start of the final one, and does not end later."""
    limits = LIMITS | {"short_threshold": 0.9}
    probabilities = make_probabilities(seed)
    n_samples = len(probabilities) * N_STEP_SAMPLES
    finder = SpanFinder(**limits)
    spans: list[Span] = []
    predicted: list[tuple[int, Span | None, int]] = []
    for step in np.split(probabilities, len(probabilities)):
        spans.extend(finder.push(step))
        predicted.append((len(spans), finder.open_span, finder.next_start))
    spans.extend(finder.finish(n_samples))
    whole = SpanFinder(**limits)
    assert spans == [*whole.push(probabilities), *whole.finish(n_samples)]
    for n_ended, open_span, next_start in predicted:
        following = spans[n_ended] if n_ended < len(spans) else Span(start=n_samples, end=n_samples)
        assert next_start <= following.start
        if open_span is not None:
            assert (open_span.start, next_start) == (following.start, following.start)
            assert open_span.end <= following.end
    assert sum(open_span is not None for _, open_span, _ in predicted) > 500
