"""The encoder's features, the detected language and P(no_speech) of a window equal transformers'."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import N_SAMPLES, SAMPLE_RATE
from tests.parity.conftest import Pair
from tests.parity.decoding import decode, greedy
from tests.parity.recordings import LOCAL, cut_window, whole_window

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4  # of probabilities
FEATURE_TOLERANCE = 1e-3  # of values up to 24; transformers' float32 is up to 7e-4 off its float64

ENGLISH, GERMAN = LOCAL[0].waveform, LOCAL[3].waveform


def noise() -> Waveform:
    return np.random.default_rng(0).normal(0, 0.1, N_SAMPLES // 3).astype(np.float32)


def test_features_of_a_whole_window_equal_those_of_transformers(pair: Pair) -> None:
    window = whole_window(ENGLISH())
    with torch.inference_mode():
        features = pair.encoder(window)
    assert features.shape == (1_500, features.shape[1])
    torch.testing.assert_close(features, pair.oracle.encode(window), atol=FEATURE_TOLERANCE, rtol=0)


def test_features_of_a_cut_window_equal_those_of_transformers_layers(tiny_en: Pair) -> None:
    window = cut_window(ENGLISH()[: 3 * SAMPLE_RATE])
    with torch.inference_mode():
        features = tiny_en.encoder(window)
    assert features.shape == (400, features.shape[1])
    torch.testing.assert_close(features, tiny_en.oracle.encode_cut(window), atol=FEATURE_TOLERANCE, rtol=0)


def test_language_and_no_speech_prob_equal_those_of_transformers_for_any_prompt(base: Pair) -> None:
    """In silence, the hardest case. test_greedy.py compares them in speech."""
    window = whole_window(np.zeros(2 * SAMPLE_RATE, np.float32))
    features = base.oracle.encode(window)
    base.model.encode({0: window})
    language = base.oracle.language(features)
    for prompt in (base.prompt(None), base.prompt("en"), base.prompt(language, previous=(400, 370, 452))):
        state = greedy(prompt, max_new_tokens=1)
        decode(base.model, {0: state})
        complete = base.prompt(language) if prompt.after_language else prompt
        assert state.no_speech_prob == pytest.approx(base.oracle.no_speech_prob(features, complete), abs=TOLERANCE)
        if prompt.after_language:
            assert base.vocabulary.language(state.language_token) == language
    base.model.free(0)


def test_no_speech_prob_is_low_in_speech_and_high_in_noise(tiny_en: Pair) -> None:
    states = {slot: greedy(tiny_en.prompt(None), max_new_tokens=1) for slot in (0, 1)}
    tiny_en.model.encode({0: cut_window(ENGLISH()), 1: cut_window(noise())})
    decode(tiny_en.model, states)
    assert states[0].no_speech_prob < 0.1
    assert states[1].no_speech_prob > 0.5


def test_languages_are_detected_next_to_sequences_with_a_given_language(base: Pair) -> None:
    windows = {2: cut_window(GERMAN()[: 6 * SAMPLE_RATE]), 3: cut_window(ENGLISH()[: 4 * SAMPLE_RATE])}
    base.model.encode({**windows, 4: windows[2].clone(), 6: windows[3].clone()})
    states = {slot: greedy(base.prompt(None if slot < 6 else "en"), max_new_tokens=4) for slot in (2, 3, 4, 6)}
    decode(base.model, states)
    languages = [base.vocabulary.language(state.language_token) for state in states.values()]
    assert languages == ["de", "en", "de", None]
    assert states[2].sampled == states[4].sampled
    assert states[3].sampled == states[6].sampled
    assert states[3].sum_logprob == pytest.approx(states[6].sum_logprob, abs=TOLERANCE)
