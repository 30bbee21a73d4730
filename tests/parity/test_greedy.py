"""Greedy decoding gives transformers' tokens, alone and in any batch.

Every run compares a few recordings. All short recordings of the collection next to the checkout take about half an
hour and print figures:

    python -m pytest tests/parity/test_greedy.py -m parity_full -s
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.parity.comparison import compare
from tests.parity.conftest import Pair
from tests.parity.decoding import decode, greedy, with_eot
from tests.parity.oracle import TIE
from tests.parity.recordings import LOCAL, Recording, all_recordings, clips, few_recordings, whole_window
from tests.parity.variants import compare_greedy

pytestmark = pytest.mark.parity

N_CLIPS = 30

VARIANTS: Mapping[str, dict[str, Any]] = {
    "max_new_tokens": {"max_new_tokens": 9},
    "min_new_tokens": {"min_new_tokens": 40},
    "min_length, which counts the prompt": {"min_length": 40},
    "two minimums and a maximum": {"min_length": 12, "min_new_tokens": 30, "max_new_tokens": 36},
    "nothing suppressed": {"suppress_tokens": ()},
    "common words suppressed": {"suppress_tokens": (13, 11, 262, 290, 264, 293)},
}
"""Arguments of transformers' `generate` that are decoding options too."""


def in_languages_of(pair: Pair, recordings: list[Recording]) -> list[Recording]:
    return [recording for recording in recordings if pair.is_multilingual or recording.language == "en"]


def test_tokens_of_a_few_recordings_alone_and_in_a_batch(tiny_en: Pair) -> None:
    figures = compare(tiny_en, in_languages_of(tiny_en, few_recordings()))
    assert not figures.wrong, figures


def test_tokens_with_a_detected_language(base: Pair) -> None:
    figures = compare(base, [LOCAL[0], LOCAL[2], LOCAL[3]])
    assert not figures.wrong, figures


@pytest.mark.parity_full
def test_tokens_of_all_recordings_alone_and_in_a_batch(pair: Pair) -> None:
    figures = compare(pair, in_languages_of(pair, all_recordings()))
    print(f"\n{figures}")
    assert not figures.wrong, figures


@pytest.mark.parametrize("n_previous", [1, 20, 223])
def test_tokens_after_previous_text(tiny_en: Pair, n_previous: int) -> None:
    window = whole_window(LOCAL[1].waveform())
    previous = tuple(400 + 3 * n for n in range(n_previous))
    answer = tiny_en.oracle.generate(tiny_en.oracle.encode(window), language="en", previous=previous)
    state = greedy(tiny_en.prompt("en", previous=previous))
    tiny_en.model.encode({4: window})
    decode(tiny_en.model, {4: state})
    tiny_en.model.free(4)
    difference = answer.difference(with_eot(state, eot=tiny_en.tokenizer.eot))
    assert difference is None or abs(difference) < TIE


@pytest.mark.parametrize("variant", VARIANTS)
def test_tokens_with_limits_and_suppressed_tokens(tiny_en: Pair, variant: str) -> None:
    compare_greedy(tiny_en, [LOCAL[0], LOCAL[2]], VARIANTS[variant])


@pytest.mark.parity_full
@pytest.mark.parametrize("variant", VARIANTS)
def test_tokens_of_many_recordings_with_limits_and_suppressed_tokens(pair: Pair, variant: str) -> None:
    compare_greedy(pair, clips(N_CLIPS), VARIANTS[variant])
